"""What the doctor learns of a data set's files by opening each of them once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cfa_lab.data.decoded import read_values
from cfa_lab.data.depth_found import FileDepth, file_depth
from cfa_lab.data.geometry import Size
from cfa_lab.data.masks import load_mask_channels, mask_pages
from cfa_lab.data.opening import full_pages, open_image, reading
from cfa_lab.data.twins import content_hash
from cfa_lab.doctor.perceptual_hash import perceptual_hash
from cfa_lab.errors import UserError

CLASS_NUMBERS = 32
"""Masks with no higher value hold numbers of kinds of defect, not grey levels."""


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """One image: what is wrong with it or what it is; `size` as turned by its EXIF data."""

    error: str | None = None
    mode: str = ""
    size: Size = (0, 0)
    num_frames: int = 1
    is_constant: bool = False
    is_two_valued: bool = False
    """Whether there are two values and no others, as in a mask."""
    content: str = ""
    """A hash of the values."""
    look: np.ndarray | None = None
    """Its perceptual hash; None for one of one colour."""
    deep: FileDepth | None = None
    """What an image of more than 8 bits says of its values, and their extent."""


@dataclass(frozen=True, kw_only=True)
class MaskFacts:
    """One mask: what is wrong with it or what it holds."""

    error: str | None = None
    size: Size = (0, 0)
    mask: np.ndarray | None = None
    """(H, W) bool, packed by `numpy.packbits` along rows."""
    is_graded: bool = False
    """Whether its values are grey levels, as smoothing leaves them, not classes."""

    @property
    def marks_defects(self) -> bool:
        """Whether a pixel of it counts as defect."""
        return self.mask is not None and bool(self.mask.any())

    def unpacked(self) -> np.ndarray:
        """The mask, (H, W) bool."""
        assert self.mask is not None
        return np.unpackbits(self.mask, axis=1, count=self.size[1]).astype(bool)


def image_facts(path: Path) -> ImageFacts:
    """Decode an image wholly; never raises for what is wrong with it."""
    try:
        values, stored = read_values(path)
        with reading("image", path), open_image(path) as file:
            mode, frames = file.mode, len(full_pages(file))
    except (UserError, OSError) as error:
        return ImageFacts(error=str(error))
    is_constant = bool((values == values[:1, :1]).all())
    ends = (values == values.min()) | (values == values.max())
    return ImageFacts(
        mode=mode,
        size=(values.shape[0], values.shape[1]),
        num_frames=frames,
        is_constant=is_constant,
        is_two_valued=not is_constant and bool(ends.all()),
        look=None if is_constant else perceptual_hash(values),
        content=content_hash(values),
        deep=None if stored is None else file_depth(stored, values),
    )


def mask_facts(path: Path, above: int) -> MaskFacts:
    """Decode a mask wholly; never raises for what is wrong with it."""
    try:
        mask = np.logical_or.reduce(load_mask_channels([path], above=above))
        with reading("mask", path):
            graded = any(_is_graded(page) for page in mask_pages(path))
    except (UserError, OSError) as error:
        return MaskFacts(error=str(error))
    return MaskFacts(
        size=(mask.shape[0], mask.shape[1]),
        mask=np.packbits(mask, axis=1),
        is_graded=graded,
    )


def _is_graded(page: np.ndarray) -> bool:
    """Whether a mask's page has more than two levels above 0 that are no numbers of classes.

    A colour for each class is none: what counts then is whether there are too many for that.
    """
    if page.ndim == 3 and not (page == page[..., :1]).all():
        colours = page.astype(np.int64) @ [1 << 32, 1 << 16, 1]
        return len(np.unique(colours)) > CLASS_NUMBERS
    levels = np.unique(page if page.ndim == 2 else page[..., 0])
    levels = levels[levels > 0]
    classes = levels.max(initial=0) <= CLASS_NUMBERS and (levels == np.floor(levels)).all()
    return len(levels) > 2 and not classes


def collect_facts(
    images: Sequence[Path], masks: Sequence[Path], *, above: int, workers: int
) -> tuple[list[ImageFacts], list[MaskFacts]]:
    """The facts of all files, in their order, decoded by `workers` threads."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        of_images = pool.map(image_facts, images)
        of_masks = pool.map(lambda path: mask_facts(path, above), masks)
        return list(of_images), list(of_masks)
