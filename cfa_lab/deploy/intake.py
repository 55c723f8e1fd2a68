"""Image files made ready for the network by threads, while others are being scored."""

import hashlib
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from PIL import Image

from cfa_lab.data.decoded import decode
from cfa_lab.data.geometry import Geometry
from cfa_lab.data.images import LoadedImage
from cfa_lab.data.inputs import inputs_of
from cfa_lab.errors import UserError

WORKERS = 2
"""Threads that decode; Pillow gives up the interpreter's lock at work."""
THREADS = "cfa_lab-intake"
BATCHES_AHEAD = 2
"""Batches that are decoded or waiting, besides the one being scored."""


@dataclass(frozen=True)
class Intake:
    """One image file, ready or not to be had."""

    path: Path
    modified: int
    """The file's time in nanoseconds; with the path it tells one photograph from the next."""
    inputs: list[LoadedImage] = field(default_factory=list)
    error: str | None = None
    content: str | None = None
    """A hash of the inputs' pixels."""
    small: Image.Image | None = None
    """The image at the size of an overlay."""


def modified_at(path: Path) -> int:
    """A file's time in nanoseconds; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def take_in(path: Path, geometry: Geometry, longest_side: int | None) -> Intake:
    """Decode a file; what is wrong with it is told by `error`, never raised.

    `longest_side` is that of the small image in pixels, None for none.
    """
    modified = modified_at(path)
    try:
        image = decode(path, geometry.depth)
        inputs = inputs_of(image, geometry)
    except UserError as error:
        return Intake(path, modified, error=str(error))
    small = None if longest_side is None else _small(image.shown(), longest_side)
    digest = hashlib.blake2b(digest_size=8)
    for one in inputs:
        digest.update(one.pixels.tobytes())
    return Intake(path, modified, inputs, content=digest.hexdigest(), small=small)


def batches(
    paths: Iterable[Path],
    geometry: Geometry,
    *,
    batch_size: int,
    workers: int,
    longest_side: int | None = None,
) -> Generator[list[Intake], None, None]:
    """Yield files in order, `batch_size` at a time, while threads decode those to come."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix=THREADS)
    waiting: deque[list[Future[Intake]]] = deque()
    rest = iter(paths)

    def fetch() -> None:
        if batch := list(islice(rest, batch_size)):
            waiting.append([pool.submit(take_in, one, geometry, longest_side) for one in batch])

    try:
        for _ in range(BATCHES_AHEAD):
            fetch()
        while waiting:
            batch = [future.result() for future in waiting.popleft()]
            fetch()
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)


def _small(image: Image.Image, longest_side: int) -> Image.Image:
    """The image at the size of a panel, never larger than it is."""
    scale = min(1.0, longest_side / max(image.size))
    width, height = (max(1, round(length * scale)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
