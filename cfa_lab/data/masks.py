"""From mask files to arrays of their image's extent, whatever mode, depth and pages they have."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from cfa_lab.data.geometry import Size
from cfa_lab.data.opening import as_rgb, full_pages, reading, upright
from cfa_lab.errors import UserError


def load_mask(paths: Sequence[Path], original: Size, *, above: int = 0) -> np.ndarray:
    """The union of an image's masks, (H, W) bool, true where any of them has a value over `above`.

    `original` is the size of the image, (H, W). No mask at all gives no defect pixel. Raises
    `UserError` for a mask of another size than its image's and for one that cannot be read.
    """
    if not paths:
        return np.zeros(original, dtype=bool)
    return np.logical_or.reduce(load_mask_channels(paths, original, above=above))


def load_mask_channels(
    paths: Sequence[Path], original: Size | None = None, *, above: int = 0
) -> np.ndarray:
    """An image's masks each for itself, (n, H, W) bool; each page of a file is one.

    `original` is the size that all must have; None checks nothing but that they agree.
    """
    return _load_masks(paths, original, partial(_exceeds, above=above))


def load_mask_values(paths: Sequence[Path], original: Size | None = None) -> np.ndarray:
    """The values of an image's masks, (n, H, W) integers: MVTec LOCO's tell kinds of defect apart.

    Of a mask in colour the highest channel counts, a fraction as the next whole number, NaN as 0.
    Pages and `original` as in `load_mask_channels`.
    """
    return _load_masks(paths, original, _values)


def _load_masks(
    paths: Sequence[Path], original: Size | None, read: Callable[[Image.Image], np.ndarray]
) -> np.ndarray:
    channels = []
    for path in paths:
        with reading("mask", path):
            masks = [read(page) for page in mask_pages(path)]
        for mask in masks:
            original = original or mask.shape
            if mask.shape != original:
                turned = (
                    "; one of the two has EXIF data that turn it" if _turned(mask, original) else ""
                )
                raise UserError(
                    f"mask {path} is {mask.shape[0]} x {mask.shape[1]} pixels (height x width), "
                    f"its image {original[0]} x {original[1]}; masks must have the size of their "
                    f"image{turned}"
                )
            channels.append(mask)
    return np.stack(channels)


def mask_pages(path: Path) -> list[Image.Image]:
    """Every page of a mask file, or frame, upright; raises what decoders raise.

    A defect a page is usual in TIFF.
    """
    with Image.open(path) as file:
        pages = []
        for number in full_pages(file):
            file.seek(number)
            pages.append(upright(file))
        return pages


def _turned(mask: np.ndarray, original: Size) -> bool:
    return mask.shape == original[::-1]


def _values(image: Image.Image) -> np.ndarray:
    """A mask's values, (H, W), those of the file itself where it has one channel of many bits."""
    if image.mode == "F":
        return np.ceil(np.nan_to_num(np.asarray(image)).clip(-1, 2**31)).astype(np.int64)
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.int64)
    return np.asarray(as_rgb(image)).max(axis=2)


def _exceeds(image: Image.Image, above: int) -> np.ndarray:
    """Pixels of a mask over a value, (H, W) bool, whatever its mode; alpha does not count.

    A value over 0 is one of the file's own; any other is one of 8 bits.
    """
    if image.mode.startswith(("I", "F")) and not above:
        return np.greater(np.asarray(image), 0)
    return np.logical_or.reduce(np.greater(np.asarray(as_rgb(image)), above), axis=2)
