"""Where the run of a key lies: one small file a run, so that nobody ever searches folders.

`<root>/.runs/<run_key>` holds the path of the run's folder below `root`. It is only a hint: what a
run is worth is read from its folder, and the hints can be made again from the folders.
"""

import logging
import os
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cfa_lab.files import write_atomically
from cfa_lab.records import names
from cfa_lab.records.record import record_of

log = logging.getLogger(__name__)

HINTS = ".runs"
SHARED = "multirun"
"""A folder of this name holds studies that reuse each other's runs."""
_DATE, _TIME = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"\d\d-\d\d-\d\d(-\d+)?")


def dated_root(folder: Path) -> Path | None:
    """The folder above the date and time that end a path; None where they do not."""
    dated = _TIME.fullmatch(folder.name) and _DATE.fullmatch(folder.parent.name)
    return folder.parent.parent if dated else None


def study_root(folder: Path) -> Path:
    """The folder whose runs the study in `folder` may reuse: above a date and time that end its
    path, else the nearest one called `multirun`, else the study's own."""
    named = (path for path in (folder, *folder.parents) if path.name == SHARED)
    return dated_root(folder) or next(named, folder)


class RunIndex:
    """The runs below `root`; complete ones are found below `others`, too.

    Runs are put into `root` and unfinished ones taken over from there; `others` is only read.
    """

    def __init__(self, root: Path, *, others: Sequence[Path] = ()):
        self.root = root
        self.roots = [root, *(other for other in others if other != root)]

    @property
    def is_empty(self) -> bool:
        """Whether there is no run to be found at all."""
        return not any(_keys(root) for root in self.roots)

    def add(self, run_key: str, folder: Path) -> None:
        """Remember where the run of a key lies; the last one counts."""
        hint = self.root / HINTS / run_key
        hint.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(hint, Path(os.path.relpath(folder, self.root)).as_posix() + "\n")

    def complete(self, run_key: str) -> tuple[Path, dict[str, Any]] | None:
        """Folder and record of a complete run of this key."""
        for root in self.roots:
            if (folder := _folder(root, run_key)) is not None:
                record = record_of(folder)
                if record.get("status") == "complete" and record.get("run_key") == run_key:
                    return folder, record
        return None

    def begun(self, run_key: str) -> Path | None:
        """The folder in which a run of this key began, finished or not."""
        return _folder(self.root, run_key)

    @contextmanager
    def held(self, run_key: str) -> Generator[None]:
        """Keep other processes from the run of this key; waits while one of them is at it."""
        path = self.root / HINTS / f"{run_key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process is at this very run; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def rebuild(self) -> None:
        """Make missing indices from the complete runs found in the folders."""
        for root in self.roots:
            if root.is_dir() and not (root / HINTS).is_dir():
                index = RunIndex(root)
                for path in sorted(root.rglob(names.RECORD)):
                    record = record_of(path.parent)
                    key, original = record.get("run_key"), not record.get("reused_from")
                    if key and original and record.get("status") == "complete":
                        index.add(key, path.parent)


def _keys(root: Path) -> list[str]:
    try:
        return [path.name for path in (root / HINTS).iterdir() if "." not in path.name]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _folder(root: Path, run_key: str) -> Path | None:
    try:
        folder = root / (root / HINTS / run_key).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Path(os.path.normpath(folder))
