"""The process in which `parallel` runs jobs, one after another; it ends with its parent."""

import gc
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection

from cfa_lab.launch.task import perform

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_END = 30.0
"""What a job gets for its end once the parent is gone."""
STOPPED = 128 + signal.SIGTERM
"""The exit code of a process that was asked to stop, as shells have it."""


def main(descriptor: int, parent: int) -> None:
    """Make the calls that come in by an inherited connection, until it is closed."""
    os.set_inheritable(descriptor, False)  # or programs that a job starts would hold it open
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    connection = Connection(descriptor)
    try:
        with suppress(EOFError, OSError):
            while True:
                connection.send_bytes(perform(connection.recv_bytes()))
    except KeyboardInterrupt:
        sys.exit(STOPPED)
    finally:
        gc.freeze()  # or the interpreter looks through all modules once more as it ends


def _end_with(parent: int) -> None:
    """Stop the job in order when the command that started it was killed."""
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_END)
    os._exit(STOPPED)
