"""A run's own log: what was said on the screen, with times, as a file of its folder."""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path

from cfa_lab.records import names

MOST_LINES = 10_000
"""Records kept until the folder is there."""

Begin = Callable[[bool], None]
"""Called once the folder is there: what was said goes into it, after what is in the file already
where that is to stay."""


@contextmanager
def kept_log(folder: Path) -> Generator[Begin]:
    """Keep what the body logs in `folder/run.log`, once it says that the folder is there.

    A failure of the body is the last line.
    """
    root = logging.getLogger()
    waiting = MemoryHandler(MOST_LINES, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
    waiting.setLevel(logging.INFO)
    root.addHandler(waiting)
    file: logging.Handler | None = None

    def begin(stays: bool) -> None:
        nonlocal file
        file = logging.FileHandler(folder / names.LOG, "a" if stays else "w", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        file.setLevel(logging.INFO)
        waiting.setTarget(file)
        waiting.flush()
        root.removeHandler(waiting)
        root.addHandler(file)

    try:
        yield begin
    except BaseException as error:
        if file is not None:
            text = str(error) or type(error).__name__
            file.handle(
                logging.makeLogRecord({"msg": f"the run ended: {text}", "levelname": "ERROR"})
            )
        raise
    finally:
        root.removeHandler(waiting)
        waiting.close()
        if file is not None:
            root.removeHandler(file)
            file.close()
