"""Images that are stored more than once: told by their pixels, whatever their files hold."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np

from cfa_lab.data.decoded import read_values
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
