"""The depth of a data set: from what its files say, else from the largest of all their values."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from cfa_lab.data import bands
from cfa_lab.data.depth import FULL, USUAL, Depth, Span, span_of_bits, usual_bits
from cfa_lab.data.opening import open_image, reading
from cfa_lab.data.stored import Stored, stored_in, values_of
from cfa_lab.errors import UserError

NO_RANGE = (
    "grey values are floating point; say which are black and white with image.range=[0,1], or save "
    "it with 8 or 16 bits"
)


@dataclass(frozen=True)
class FileDepth:
    """A file of more than 8 bits: what it says of its values, and their extent."""

    stored: Stored
    extent: Span

    @property
    def bits(self) -> int:
        """How many bits of its values count, by itself."""
        stored, largest = self.stored, max(self.extent[1], self.stored.seen)
        if stored.white is not None:
            return int(stored.white).bit_length()
        if stored.significant and largest <= span_of_bits(stored.significant)[1]:
            return stored.significant
        return usual_bits(largest)

    @property
    def says(self) -> bool:
        """Whether the file says how many bits count."""
        return self.stored.white is not None or self.stored.significant is not None


@dataclass(frozen=True)
class FoundDepth:
    """The depth of a data set, and how it was found."""

    depth: Depth
    origin: str
    bits: int | None = 8
    """How many bits count in its images; None where `image.range` says what is black and white."""


ONLY_BYTES = FoundDepth(Depth(), "no training image has more than 8 bits")


def find_depth(
    paths: Sequence[Path],
    *,
    workers: int,
    bits: int | None = None,
    span: Sequence[float] | None = None,
) -> FoundDepth:
    """The depth of a data set from its training images; `bits` or `span` where a user says it.

    Images of more than 8 bits that do not say how many count are decoded until one fills 16. Those
    that cannot be read are left to whoever needs their pixels. Raises UserError for floating-point
    values without a range.
    """
    if span is not None:
        return FoundDepth(Depth(bits, (float(span[0]), float(span[1]))), "image.range", None)
    if bits is not None:
        return FoundDepth(Depth(bits, span_of_bits(bits)), "image.bits", bits)
    files: list[tuple[Path, FileDepth]] = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        waiting: list[tuple[Path, Future[FileDepth | None]]] = [
            (path, pool.submit(_depth_of, path)) for path in paths
        ]
        for path, future in waiting:
            if (found := future.result()) is None:
                continue
            files.append((path, found))
            if found.stored.kind != "floating point" and found.bits == USUAL[-1]:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    try:
        return settle([found for _, found in files])
    except ValueError as error:
        path, found = next((p, f) for p, f in files if f.stored.kind == "floating point")
        low, high = found.extent
        raise UserError(f"{path}: {error}; its values go from {low:g} to {high:g}") from error


def settle(files: Sequence[FileDepth]) -> FoundDepth:
    """One depth for files of more than 8 bits; raises ValueError where a range is missing."""
    if not files:
        return ONLY_BYTES
    floating = [one for one in files if one.stored.kind == "floating point"]
    if floating:
        extents = [one.stored.extent for one in floating if one.stored.extent is not None]
        if len(extents) < len(floating):
            raise ValueError(NO_RANGE)
        span = min(low for low, _ in extents), max(high for _, high in extents)
        return FoundDepth(Depth(None, span), "the range that the training images' tags say", None)
    bits = max(one.bits for one in files)
    if all(one.says for one in files):
        origin = "the training images' files say so"
    else:
        largest = max(max(one.extent[1], one.stored.seen) for one in files)
        origin = (
            "the largest value over the training images fills them"
            if span_of_bits(bits) == FULL
            else f"the largest value over the training images is {largest:g}"
        )
    return FoundDepth(Depth(bits), origin, bits)


def depth_alone(path: Path) -> Depth:
    """The depth of a file by itself; that of bytes where it cannot be told."""
    found = _depth_of(path)
    try:
        return settle([] if found is None else [found]).depth
    except ValueError:
        return Depth()


def file_depth(stored: Stored, values: np.ndarray) -> FileDepth:
    """What is to be known of decoded values (H, W[, 3])."""
    return FileDepth(stored, (float(values.min()), float(values.max())))


def _depth_of(path: Path) -> FileDepth | None:
    """Of a file of more than 8 bits that can be read; kept for the process."""
    try:
        status = path.stat()
        return _kept(path, status.st_size, status.st_mtime_ns)
    except (OSError, UserError):
        return None


def depth_mark(path: Path, depth: Depth) -> str:
    """What tells features of a file that says its own depth, read by one depth or another.

    Empty for all other files, and where the settings that decide features tell `depth`.
    """
    if depth.own:
        return ""
    try:
        status = path.stat()
        stored = _said(path, status.st_size, status.st_mtime_ns)
    except (OSError, UserError):
        return ""
    if stored is None or (stored.white is None and stored.significant is None):
        return ""
    values = (stored.white, stored.significant, depth.bits, depth.range)
    return "-" + "-".join(str(value) for value in values)


@lru_cache(maxsize=100_000)
def _said(path: Path, num_bytes: int, modified: int) -> Stored | None:
    """Size and time are there to tell a file from the one that stood there before."""
    with reading("image", path), open_image(path) as file:
        return stored_in(file)


@lru_cache(maxsize=100_000)
def _kept(path: Path, num_bytes: int, modified: int) -> FileDepth | None:
    """Likewise."""
    stored = _said(path, num_bytes, modified)
    if stored is None:
        return None
    if stored.white is not None:
        return FileDepth(stored, (0.0, stored.white))
    with reading("image", path), open_image(path) as file:
        parts: list[FileDepth] = []
        if file.width * file.height > bands.MOST_WHOLE:
            for band in bands.bands_of(path, file.height):
                with open_image(band) as rows:
                    parts.append(_depth_in(rows, stored))
        parts = parts or [_depth_in(file, stored)]
    lows, highs = zip(*(part.extent for part in parts), strict=True)
    return FileDepth(stored, (min(lows), max(highs)))


def _depth_in(file: Image.Image, stored: Stored) -> FileDepth:
    if stored.kind == "colour":  # the upper bytes tell how many bits there are
        upper = np.asarray(file)[..., :3]
        if (top := int(upper.max())) > 0:
            return FileDepth(stored, (0.0, float(top << 8 | 0xFF)))
    return file_depth(stored, values_of(file, stored))
