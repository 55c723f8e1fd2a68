"""Opening image files: whatever a decoder raises becomes one line, whatever a file holds, pages."""

import errno
import io
import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cfa_lab.data.repacked import repacked
from cfa_lab.data.unread import what_it_is
from cfa_lab.errors import UserError

WIDTH, HEIGHT = 256, 257
SUBFILE, OLD_SUBFILE, BITS_PER_SAMPLE, PHOTOMETRIC, PLANAR_CONFIGURATION = 254, 255, 258, 262, 284
"""TIFF's tags."""
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)
"""EXIF's orientation, TIFF's too, and its values that swap height and width."""
MAX_MEGAPIXELS = "CFA_LAB_MAX_MEGAPIXELS"
"""The environment variable that holds another limit than Pillow's on an image's size."""


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


def open_image(source: Path | io.BytesIO) -> Image.Image:
    """Open an image file; a TIFF of a form that Pillow lacks as the one that it is told anew in.

    Raises what Pillow raises.
    """
    try:
        return Image.open(source)
    except Image.UnidentifiedImageError:
        if (other := repacked(source, _most_pixels())) is None:
            raise
        return Image.open(other)


@contextmanager
def reading(what: str, path: Path) -> Generator[None]:
    """Turn whatever a decoder raises in the body into one line about this file."""
    _limit_pixels(os.environ.get(MAX_MEGAPIXELS))
    try:
        if path.is_fifo() or path.is_socket():
            raise OSError(errno.EINVAL, "a pipe, which would be waited for, and no file")
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


def turned(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF data say; refuses the one kind that Pillow reads wrongly."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(PLANAR_CONFIGURATION, 1) == 2 and max(tags.get(BITS_PER_SAMPLE, (8,))) > 8:
        raise ValueError("16-bit colours in separate planes; save it with 8 bits or in one plane")
    if tags.get(ORIENTATION) in SIDEWAYS:
        # Pillow 12.3 maps plain grey files into memory with their sides swapped already
        image.filename = ""  # pyright: ignore[reportAttributeAccessIssue]
    return ImageOps.exif_transpose(image)


def size_of(image: Image.Image) -> tuple[int, int]:
    """Height and width of an open image, once it is turned."""
    tags = getattr(image, "tag_v2", {})  # Pillow swaps a TIFF's sides itself from 11.2 on
    width, height = tags.get(WIDTH, image.width), tags.get(HEIGHT, image.height)
    sideways = image.getexif().get(ORIENTATION, 1) in SIDEWAYS
    return (width, height) if sideways else (height, width)


def is_white_zero(image: Image.Image) -> bool:
    """Whether an open TIFF calls 0 white; up to 8 bits Pillow turns its values round."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(PHOTOMETRIC) == 0 and image.mode.startswith(("I", "F"))


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
