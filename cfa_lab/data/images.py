"""From image files to the arrays a network is fed with."""

import os
import warnings
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from math import ceil
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image, ImageOps

from cfa_lab.data.geometry import Box, Geometry, Placement, Size
from cfa_lab.data.tiles import Source, Tile, cut
from cfa_lab.data.unread import what_it_is
from cfa_lab.errors import UserError

# Name of the loading threads. Threads suffice: Pillow gives up the interpreter lock at work.
THREADS = "cfa_lab-images"
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)
"""EXIF's orientation, and its values that swap height and width."""
SUBFILE, OLD_SUBFILE, BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR_CONFIGURATION = 254, 255, 258, 262, 284
"""TIFF's tags."""
MAX_MEGAPIXELS = "CFA_LAB_MAX_MEGAPIXELS"
"""The environment variable that holds another limit than Pillow's on an image's size."""
_DECODING = Lock()


@cache
def _limit_pixels(value: str | None) -> None:
    """Set Pillow's limit to a number of megapixels; raises `UserError` for what is none."""
    if value is None:
        return
    try:
        most = float(value) * 1e6
        if not 0 < most < 1e12:
            raise ValueError
    except ValueError:
        raise UserError(f"{MAX_MEGAPIXELS} is {value!r}; allowed: a number above 0") from None
    Image.MAX_IMAGE_PIXELS = ceil(most / 2)  # from here on it warns, and refuses twice as much
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def _most_pixels() -> int:
    return 2 * (Image.MAX_IMAGE_PIXELS or 0)


@dataclass(frozen=True)
class LoadedImage:
    """An image as the network gets it: `pixels` (h, w, 3) uint8 RGB, and where they came from."""

    pixels: np.ndarray
    placement: Placement


def decode_image(path: Path) -> np.ndarray:
    """Read an image file of any mode as RGB, (H, W, 3) uint8, turned as its EXIF data say.

    Of 16-bit grey the upper 8 bits are kept, of an animation the first frame; transparency is
    ignored. Raises `UserError` with the file's name for one that is missing, damaged or no image.
    """
    return np.array(read_image(path))


def image_size(path: Path) -> Size:
    """Height and width of an image as turned by its EXIF data, from the beginning of its file."""
    with reading("image", path), Image.open(path) as image:
        turned = image.getexif().get(ORIENTATION, 1) in SIDEWAYS
        width, height = image.size
        return (width, height) if turned else (height, width)


def load_image(source: Source, geometry: Geometry) -> LoadedImage:
    """Decode an image or a tile and bring it to the network's input size; padding is black."""
    if isinstance(source, Tile):
        pixels = _decode_for_tiles(source.path)
        windows = geometry.windows((pixels.shape[0], pixels.shape[1]))
        return LoadedImage(*cut(pixels, windows[source.index]))
    image = read_image(source)
    try:
        return fit_image(image, geometry)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error


def read_image(path: Path) -> Image.Image:
    """Decode an image file of any mode as RGB, as `decode_image` does."""
    with reading("image", path), Image.open(path) as file:
        return as_rgb(upright(file))


def fit_image(image: Image.Image, geometry: Geometry) -> LoadedImage:
    """Bring an RGB image to the network's input size; padding is black."""
    plan = geometry.plan((image.height, image.width))
    height, width = plan.resized
    filtering = Image.Resampling[geometry.interpolation.upper()]  # the words are Pillow's names
    resized = image.resize((width, height), filtering)
    pixels = np.zeros((*geometry.input_size, 3), dtype=np.uint8)
    pixels[_slices(plan.placement.content)] = np.asarray(resized)[_slices(plan.visible)]
    return LoadedImage(pixels, plan.placement)


def _decode_for_tiles(path: Path) -> np.ndarray:
    """A whole image, kept while its tiles are cut; one thread decodes, the others wait."""
    with reading("image", path):
        modified = path.stat().st_mtime_ns
    with _DECODING:
        return _decode_once(path, modified)


@lru_cache(maxsize=2)
def _decode_once(path: Path, modified: int) -> np.ndarray:
    """The time is there to tell a file from the one that stood there before."""
    return decode_image(path)


def full_pages(file: Image.Image) -> list[int]:
    """Numbers of the pages that are pictures of their own: no preview, no copy made smaller."""
    count = int(getattr(file, "n_frames", 1))
    if count == 1 or file.format == "MPO":  # a phone's JPEG, what follows is a preview
        return [0]
    pages = []
    for number in range(count):
        file.seek(number)
        tags = getattr(file, "tag_v2", {})
        reduced = tags.get(SUBFILE, 0) & 0b101 or tags.get(OLD_SUBFILE, 1) == 2
        if not reduced:
            pages.append(number)
    file.seek(0)
    return pages or [0]


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


@contextmanager
def reading(what: str, path: Path) -> Generator[None]:
    """Turn whatever a decoder raises in the body into one line about this file."""
    _limit_pixels(os.environ.get(MAX_MEGAPIXELS))
    try:
        yield
    # Decoders raise anything on damaged bytes, from OSError and SyntaxError to struct.error.
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        elif isinstance(error, Image.DecompressionBombError):
            reason = (
                f"more than {_most_pixels() / 1e6:.0f} megapixels, as a file made to fill the "
                f"memory would have; if it is right, set the variable {MAX_MEGAPIXELS} higher"
            )
        elif isinstance(error, Image.UnidentifiedImageError):
            reason = what_it_is(path) or "not an image, or damaged at its start"
        else:
            said = " ".join(str(error).split()) or type(error).__name__
            reason = what_it_is(path) if "broken data" in said else None
            reason = reason or said
        raise UserError(
            f"cannot read {what} {path}: {reason}; replace the file or take it out of the data set"
        ) from error


def upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF data say; refuses the one kind that Pillow reads wrongly."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(PLANAR_CONFIGURATION, 1) == 2 and max(tags.get(BITS_PER_SAMPLE, (8,))) > 8:
        raise ValueError("16-bit colours in separate planes; save it with 8 bits or in one plane")
    upright = ImageOps.exif_transpose(image)
    if tags.get(PHOTOMETRIC) == 0 and image.mode.startswith("I;16"):
        # Pillow turns white-is-zero round for up to 8 bits only.
        return Image.fromarray(np.bitwise_not(np.asarray(upright).astype(np.uint16)))
    return upright


def as_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB; raises ValueError for grey values beyond 16 bits."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError(f"grey values from {values.min()} to {values.max()} exceed 16 bits")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("grey values are floating point; save it with 8 or 16 bits")
    elif image.has_transparency_data:
        # A palette's transparent colours must become an alpha channel before they can be dropped.
        image = image.convert("RGBA")
    return image.convert("RGB")


def _slices(box: Box) -> tuple[slice, slice]:
    top, left, height, width = box
    return slice(top, top + height), slice(left, left + width)
