"""From image files to the arrays a network is fed with."""

from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from cfa_lab.data import bands
from cfa_lab.data.decoded import Decoded, decode, decode_band
from cfa_lab.data.depth import Depth
from cfa_lab.data.geometry import Box, Geometry, Placement, Size
from cfa_lab.data.masks import load_mask as load_mask  # where it stood, for programs that say so
from cfa_lab.data.opening import open_image, reading, size_of
from cfa_lab.data.tiles import Source, Tile, cut
from cfa_lab.errors import UserError

# Name of the loading threads. Threads suffice: Pillow gives up the interpreter lock at work.
THREADS = "cfa_lab-images"
_DECODING = Lock()


@dataclass(frozen=True)
class LoadedImage:
    """An image as the network gets it: `pixels` (h, w, 3) RGB, and where they came from.

    uint8, or float32 in 0..255 where more than 8 bits count (`Geometry.deep`).
    """

    pixels: np.ndarray
    placement: Placement


def decode_image(path: Path, depth: Depth | None = None) -> np.ndarray:
    """Read an image file of any mode as RGB, (H, W, 3), black 0 and white 255, upright.

    uint8, but float32 where `depth` lets more than 8 bits count; None takes the file alone: what it
    says, else its largest value, which is no way to compare images. Of true 16 bits the upper 8 are
    kept, of an animation the first frame; transparency is ignored. Raises `UserError` with the
    file's name for one that is missing, damaged or no image.
    """
    return np.array(decode(path, depth).pixels())


def image_size(path: Path) -> Size:
    """Height and width of an image as turned by its EXIF data, from the beginning of its file."""
    with reading("image", path), open_image(path) as image:
        return size_of(image)


def load_image(source: Source, geometry: Geometry) -> LoadedImage:
    """Decode an image or a tile and bring it to the network's input size; padding is black."""
    if isinstance(source, Tile):
        return _load_tile(source, geometry)
    image = decode(source, geometry.depth)
    try:
        return fit_image(image, geometry)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error


def read_image(path: Path, depth: Depth | None = None) -> Image.Image:
    """An image file for the eye, RGB of 8 bits, read as `decode_image` does."""
    return decode(path, depth).shown()


def fit_image(image: Decoded, geometry: Geometry) -> LoadedImage:
    """Bring an image to the network's input size; padding is black."""
    plan = geometry.plan(image.size)
    filtering = Image.Resampling[geometry.interpolation.upper()]  # the words are Pillow's names
    resized = image.resized(plan.resized, filtering)
    if resized.flags.writeable and plan.resized == geometry.input_size:
        return LoadedImage(resized, plan.placement)
    pixels = np.zeros((*geometry.input_size, 3), dtype=resized.dtype)
    pixels[_slices(plan.placement.content)] = resized[_slices(plan.visible)]
    return LoadedImage(pixels, plan.placement)


def _load_tile(tile: Tile, geometry: Geometry) -> LoadedImage:
    """What is decoded for one tile is kept for the next; one thread decodes, the others wait."""
    path = tile.path
    original = image_size(path)
    window = geometry.windows(original)[tile.index]
    with reading("image", path):
        modified = path.stat().st_mtime_ns
    with _DECODING:
        band = None
        if original[0] * original[1] > bands.MOST_WHOLE:
            band = _band_once(path, modified, geometry.depth, window[0], window[2])
        pixels, top = band or (_decode_once(path, modified, geometry.depth), 0)
    return LoadedImage(*cut(pixels, window, original=original, first_row=top))


@lru_cache(maxsize=2)
def _decode_once(path: Path, modified: int, depth: Depth) -> np.ndarray:
    """The time is there to tell a file from the one that stood there before."""
    return decode_image(path, depth)


@lru_cache(maxsize=2)
def _band_once(
    path: Path, modified: int, depth: Depth, top: int, height: int
) -> tuple[np.ndarray, int] | None:
    """Likewise, the rows of one row of tiles."""
    return decode_band(path, depth, top, height)


def load_batch(paths: Sequence[Source], geometry: Geometry, *, workers: int) -> list[LoadedImage]:
    """Load images with `workers` threads, in the order of `paths`."""
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix=THREADS) as pool:
        return list(pool.map(partial(load_image, geometry=geometry), paths))


def iterate_images(
    paths: Sequence[Source], geometry: Geometry, *, batch_size: int, workers: int
) -> Generator[list[LoadedImage], None, None]:
    """Yield the images in batches, in the order of `paths`, while threads load the next batch.

    At most two batches are held, the one handed out and the one being loaded; the last batch may be
    short.
    """
    pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix=THREADS)

    def submit(start: int) -> list[Future[LoadedImage]]:
        return [
            pool.submit(load_image, path, geometry) for path in paths[start : start + batch_size]
        ]

    try:
        pending = submit(0)
        for start in range(batch_size, len(paths) + batch_size, batch_size):
            batch = [future.result() for future in pending]
            pending = submit(start)
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)


def _slices(box: Box) -> tuple[slice, slice]:
    top, left, height, width = box
    return slice(top, top + height), slice(left, left + width)
