"""Images that are stored more than once: told by their pixels, whatever their files hold."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from cfa_lab.data.decoded import read_values
from cfa_lab.data.samples import SampleTable
from cfa_lab.errors import UserError


def content_hash(pixels: np.ndarray) -> str:
    """A hash of an image's values, as they are stored, and their shape."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def contents(paths: Sequence[Path], *, workers: int) -> list[str]:
    """A hash of each image's pixels, decoded by `workers` threads; kept for the process.

    An image that cannot be read has no twin here; whoever needs its pixels will say so.
    """
    with ThreadPoolExecutor(max(1, workers)) as pool:
        return list(pool.map(_content, paths))


def keep_together(table: SampleTable, content: Mapping[str, str]) -> SampleTable:
    """The same table without normal images on both sides of a drawn split: copies are tested, too.

    `content` is a hash by path. What moves takes its group along, so that neither is torn. Raises
    `UserError` where no image would be left to train on.
    """
    tested = {content[s.path]: s.path for s in table.test if not s.label and s.path in content}
    moved: dict[str, str] = {}
    groups: set[str] = set()
    while True:
        found = {
            s.path: tested.get(content.get(s.path, ""), "")
            for s in table.train
            if s.path not in moved and (content.get(s.path) in tested or s.group in groups)
        }
        if not found:
            break
        moved |= found
        of_found = [s for s in table.train if s.path in found]
        tested = {content[s.path]: s.path for s in of_found if s.path in content} | tested
        groups |= {s.group for s in of_found if s.group is not None}
    if not moved:
        return table
    if len(moved) == len(table.train):
        raise UserError(
            f"every training image of {table.category!r} is stored again among the test images "
            "that were drawn; delete the copies"
        )
    return replace(
        table,
        samples=tuple(replace(s, split="test") if s.path in moved else s for s in table.samples),
        twins=tuple((twin, path) for path, twin in sorted(moved.items()) if twin),
    )


def _content(path: Path) -> str:
    try:
        status = path.stat()
        return _hash_of(path, status.st_size, status.st_mtime_ns)
    except (OSError, UserError):
        return str(path)


@lru_cache(maxsize=100_000)
def _hash_of(path: Path, num_bytes: int, modified: int) -> str:
    """Size and time are there to tell a file from the one that stood there before."""
    return content_hash(read_values(path)[0])
