"""Files that are whole or absent."""

import csv
import os
import re
import shutil
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

PARTIAL = ".partial"
"""Ends the names of files that are being written; they begin with a dot."""
MOST_OF_NAME = 200
"""Bytes of a file's name that the name of an unfinished one repeats."""
STALE_SECONDS = 3600.0
"""A file still unfinished after this time belongs to a process that was killed."""


def user_path(text: str) -> Path:
    """A path as typed, where a shell may have left `~` in it: the type of arguments."""
    return Path(text).expanduser()


def typed(path: Path) -> str:
    """A path as the user can type it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Generator[Path]:
    """Hand out a temporary path beside `path` and move it there once the body is done.

    A reader finds the old file or the new one, after a loss of power too (where `durable`); a
    failing body leaves nothing behind, a killed process what `remove_partials` removes.
    """
    partial = path.with_name(f".{_short(path.name)}.{os.getpid()}{PARTIAL}")
    try:
        yield partial
        if durable:
            _flush(partial)
        partial.replace(path)
        if durable:
            _flush(path.parent)
    finally:
        with suppress(OSError):  # the folder may be gone; whatever brought us here counts
            partial.unlink(missing_ok=True)


def _short(name: str) -> str:
    """A name that leaves room for more in the 255 bytes that file systems allow."""
    content = os.fsencode(name)
    return name if len(content) <= MOST_OF_NAME else sha256(content).hexdigest()[:16]


@contextmanager
def draft_of(folder: Path) -> Generator[Path]:
    """Hand out a new empty folder beside `folder`, to be renamed to it once it is complete.

    It goes with the body, unless it was renamed; what processes left that were killed at it goes
    now.
    """
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_dead_drafts(folder)
    draft, lock = _new_draft(folder)
    try:
        draft.mkdir()
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _new_draft(folder: Path) -> tuple[Path, FileLock]:
    """A name for a draft, and the lock that says that it is worked at and ends with its process."""
    while True:
        draft = folder.with_name(f".{folder.name}.{uuid4().hex}")
        lock = FileLock(f"{draft}.lock")
        lock.acquire()
        if Path(lock.lock_file).exists():  # or somebody took it for a dead one's just now
            return draft, lock
        lock.release()


def _remove_dead_drafts(folder: Path) -> None:
    name = re.compile(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{32}}(\.lock)?")
    found = (path.name for path in folder.parent.iterdir() if name.fullmatch(path.name))
    for draft in {folder.with_name(each.removesuffix(".lock")) for each in found}:
        with suppress(OSError, Timeout), FileLock(f"{draft}.lock", timeout=0) as lock:
            shutil.rmtree(draft, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)


def remove_partials(folder: Path, *, older_than: float = 0.0) -> None:
    """Remove what killed processes left in a folder.

    Where others may be writing to it now, only what is older than some seconds (`STALE_SECONDS`).
    """
    for path in folder.glob(f".*{PARTIAL}"):
        with suppress(OSError):
            if not older_than or time.time() - path.lstat().st_mtime > older_than:
                path.unlink()


def _flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk; not every file system can do it."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomically(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a whole text file, or none; `durable` as for `replacing`."""
    with replacing(path, durable=durable) as partial:
        partial.write_text(text, encoding="utf-8")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a whole table, or none; None leaves a cell empty."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
