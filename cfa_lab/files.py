"""Files that are whole or absent."""

import csv
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL = ".partial"
"""Ends the names of files that are being written; they begin with a dot."""


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
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
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


def remove_partials(folder: Path) -> None:
    """Remove what killed processes left in a folder that nobody else is writing to now."""
    for path in folder.glob(f".*{PARTIAL}"):
        with suppress(OSError):
            path.unlink()


def _flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk; not every file system can do it."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomically(path: Path, text: str) -> None:
    """Write a whole text file, or none."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a whole table, or none; None leaves a cell empty."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
