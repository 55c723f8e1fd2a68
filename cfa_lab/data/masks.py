"""From mask files to arrays of their image's extent, whatever mode, depth and pages they have."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from cfa_lab.data.geometry import Size
from cfa_lab.data.opening import as_rgb, full_pages, open_image, reading, turned
from cfa_lab.data.stored import stored_in, values_of
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
    paths: Sequence[Path], original: Size | None, read: Callable[[np.ndarray], np.ndarray]
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


def mask_pages(path: Path) -> list[np.ndarray]:
    """The values of every page of a mask file, or frame, upright, (H, W) or (H, W, 3), black 0.

    As the file has them where it has more than 8 bits, else RGB, uint8. A defect a page is usual in
    TIFF. Raises what decoders raise.
    """
    with open_image(path) as file:
        pages = []
        for number in full_pages(file):
            file.seek(number)
            pages.append(_page(file))
        return pages


def _page(file: Image.Image) -> np.ndarray:
    stored = stored_in(file)
    if stored is None:
        return np.asarray(as_rgb(turned(file)))
    values = values_of(file, stored)
    if stored.white_zero and stored.kind != "floating point":
        return int(stored.white or np.iinfo(values.dtype).max) - values
    return values


def _turned(mask: np.ndarray, original: Size) -> bool:
    return mask.shape == original[::-1]


def _values(values: np.ndarray) -> np.ndarray:
    """A mask's values, (H, W) integers."""
    if values.ndim == 3:
        values = values.max(axis=2)
    if values.dtype.kind == "f":
        values = np.ceil(np.nan_to_num(values).clip(-1, 2**31))
    return values.astype(np.int64)


def _exceeds(values: np.ndarray, above: int) -> np.ndarray:
    """Pixels of a mask over a value, (H, W) bool.

    A value over 0 is one of the file's own; any other is one of 8 bits.
    """
    if above and values.dtype != np.uint8:
        if values.dtype.kind == "f":
            raise ValueError("grey values are floating point; save it with 8 or 16 bits")
        values = values >> 8
    found = values > above
    return found if found.ndim == 2 else np.logical_or.reduce(found, axis=2)
