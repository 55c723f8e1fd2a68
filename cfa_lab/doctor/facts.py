"""What the doctor learns of a data set's files by opening each of them once."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cfa_lab.data.geometry import Size
from cfa_lab.data.images import decode_image, load_mask_channels
from cfa_lab.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """One image: what is wrong with it or what it is; `size` as turned by its EXIF data."""

    error: str | None = None
    mode: str = ""
    size: Size = (0, 0)
    num_frames: int = 1
    is_turned: bool = False
    is_constant: bool = False
    content: str = ""
    """A hash of the decoded pixels."""


@dataclass(frozen=True, kw_only=True)
class MaskFacts:
    """One mask: what is wrong with it or what it holds."""

    error: str | None = None
    size: Size = (0, 0)
    mask: np.ndarray | None = None
    """(H, W) bool, packed by `numpy.packbits` along rows."""
    num_values: int = 0
    """Different values above 0."""
    highest: int = 0

    def unpacked(self) -> np.ndarray:
        """The mask, (H, W) bool."""
        assert self.mask is not None
        return np.unpackbits(self.mask, axis=1, count=self.size[1]).astype(bool)


def image_facts(path: Path) -> ImageFacts:
    """Decode an image wholly; never raises for what is wrong with it."""
    try:
        pixels = decode_image(path)
        with Image.open(path) as file:
            mode, frames = file.mode, int(getattr(file, "n_frames", 1))
            turned = ImageOps.exif_transpose(file).size != file.size
    except (UserError, OSError) as error:
        return ImageFacts(error=str(error))
    return ImageFacts(
        mode=mode,
        size=(pixels.shape[0], pixels.shape[1]),
        num_frames=frames,
        is_turned=turned,
        is_constant=bool((pixels == pixels[:1, :1]).all()),
        content=hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest(),
    )


def mask_facts(path: Path, above: int) -> MaskFacts:
    """Decode a mask wholly; never raises for what is wrong with it."""
    try:
        mask = load_mask_channels([path], above=above)[0]
        with Image.open(path) as file:
            values = np.unique(np.asarray(file.convert("RGB") if file.mode == "P" else file))
    except (UserError, OSError) as error:
        return MaskFacts(error=str(error))
    return MaskFacts(
        size=(mask.shape[0], mask.shape[1]),
        mask=np.packbits(mask, axis=1),
        num_values=int((values > 0).sum()),
        highest=int(values.max()),
    )


def collect_facts(
    images: Sequence[Path], masks: Sequence[Path], *, above: int, workers: int
) -> tuple[list[ImageFacts], list[MaskFacts]]:
    """The facts of all files, in their order, decoded by `workers` threads."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        of_images = pool.map(image_facts, images)
        of_masks = pool.map(lambda path: mask_facts(path, above), masks)
        return list(of_images), list(of_masks)
