"""The folder of a feature store: what lies in it, and making it smaller. Needs no torch."""

import re
import time
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from cfa_lab.files import STALE_SECONDS

GIGABYTE = 10**9
SUFFIX = ".safetensors"

_KIND = re.compile(r"[0-9a-f]{16}")
_IMAGE = re.compile(r"[0-9a-f]{32}(-\d+)?")


@dataclass(frozen=True)
class StoredFile:
    """An entry on disk; its modification time is when a run last asked for it."""

    path: Path
    num_bytes: int
    last_use: float
    """Seconds since the epoch."""


def entry_path(folder: Path, kind: str, image: str) -> Path:
    """Where an image's features lie: `kind` 16 and `image` 32 hexadecimal digits, or of a tile
    these and its number."""
    return folder / kind / f"{image}{SUFFIX}"


def stored_files(folder: Path) -> list[StoredFile]:
    """The entries of a store, least recently used first; other files are not its business."""
    found = []
    for path in folder.glob(f"*/*{SUFFIX}"):
        if _KIND.fullmatch(path.parent.name) and _IMAGE.fullmatch(path.stem):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process has just evicted it
                continue
            found.append(StoredFile(path, status.st_size, status.st_mtime))
    return sorted(found, key=lambda file: (file.last_use, file.path))


def trim(folder: Path, max_bytes: float, *, keep: Set[Path] = frozenset()) -> int:
    """Delete the least recently used entries until `max_bytes` remain; returns what remains.

    Entries in `keep` stay, whatever they take. Also clears away what killed processes left.
    """
    _remove_stale_partials(folder)
    files = stored_files(folder)
    total = sum(file.num_bytes for file in files)
    for file in files:
        if total <= max_bytes:
            break
        if file.path not in keep:
            file.path.unlink(missing_ok=True)
            total -= file.num_bytes
    return total


def _remove_stale_partials(folder: Path) -> None:
    for path in folder.glob(f"*/.*{SUFFIX}.*.partial"):
        try:
            stale = time.time() - path.stat().st_mtime > STALE_SECONDS
        except FileNotFoundError:
            continue
        if stale and _KIND.fullmatch(path.parent.name):
            path.unlink(missing_ok=True)
