"""Ctrl-C and SIGTERM end the program in order, wherever they arrive."""

import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, NoReturn

SECONDS_BETWEEN = 0.01
"""Until a stop that nobody could hear is said again."""

_asked = False


def listen() -> None:
    """Let both signals raise KeyboardInterrupt, and none of them be lost.

    Batch systems end jobs by SIGTERM: same end as Ctrl-C. An exception that is raised in a callback
    of the garbage collector or of a weak reference is printed as ignored and lost, and matplotlib
    makes many such calls: there it is raised again until it gets through.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in the background of a shell
            signal.signal(number, _interrupt)
    before = sys.unraisablehook

    def hear(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            threading.Thread(target=_say_again, daemon=True).start()
        else:
            before(unraisable)

    sys.unraisablehook = hear


def was_asked() -> bool:
    """Whether a stop was asked for, even if some library has swallowed it."""
    return _asked


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    global _asked
    _asked = True
    raise KeyboardInterrupt


def _say_again() -> None:
    time.sleep(SECONDS_BETWEEN)  # by then the callback has ended
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGTERM)
