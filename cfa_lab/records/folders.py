"""Finding run folders, and what one of them is worth to whoever wants its place."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cfa_lab.records import names
from cfa_lab.records.record import record_of

SKIPPED = {*names.FOLDERS, ".git", ".venv", "__pycache__"}
"""Folders that hold no runs, and may hold many files."""


def run_folders(top: Path) -> Iterator[Path]:
    """Every run folder at or below `top`, finished or not, in order; none lies within another."""
    for place, inside, files in os.walk(top):
        if set(names.SIGNS) & set(files):
            inside.clear()
            yield Path(place)
        else:
            inside[:] = sorted(set(inside) - SKIPPED)


def is_kept(folder: Path) -> bool:
    """Whether nobody may take this folder for another run, or for the same one from its start.

    It holds a record, or what an unfinished run goes on from: its settings and its state. What a
    process left that was killed before both were there is worth nothing.
    """
    if (folder / names.RECORD).exists():
        return True
    return (folder / names.OVERRIDES).is_file() and (folder / names.STATE).is_file()


def is_original(record: Mapping[str, Any]) -> bool:
    """Whether a record is that of a complete run itself, and not of one that stands for it."""
    return record.get("status") == "complete" and not record.get("reused_from")


def is_complete(folder: Path, run_key: str | None = None) -> bool:
    """Whether a folder holds a complete run of its own; of this key, if one is given."""
    record = record_of(folder)
    return is_original(record) and run_key in (None, record.get("run_key"))
