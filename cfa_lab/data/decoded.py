"""An image as it was decoded: RGB of 8 bits, or planes of floating point where there are more."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cfa_lab.data.depth import BYTE, FULL, Depth, Span, scaled, to_bytes
from cfa_lab.data.depth_found import NO_RANGE, depth_alone
from cfa_lab.data.geometry import Size
from cfa_lab.data.opening import as_rgb, reading, turned
from cfa_lab.data.stored import Stored, stored_in, values_of

log = logging.getLogger(__name__)

_TOLD: set[Span] = set()


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image of 8 bits, or of more; black is 0 and white 255 in both.

    `planes` is one RGB image, or grey in floating point, or red, green and blue.
    """

    planes: tuple[Image.Image, ...]
    ends: Span = BYTE
    """No value, resized or not, is beyond these: black and white, or what goes beyond."""

    @property
    def size(self) -> Size:
        """Height and width."""
        return self.planes[0].height, self.planes[0].width

    def pixels(self) -> np.ndarray:
        """The image, (H, W, 3): uint8, or float32 where it has more than 8 bits."""
        return _together([np.asarray(plane) for plane in self.planes])

    def resized(self, size: Size, resampling: Image.Resampling) -> np.ndarray:
        """The image at another size, likewise."""
        height, width = size
        found = [np.asarray(plane.resize((width, height), resampling)) for plane in self.planes]
        if self.planes[0].mode == "F":  # Pillow cuts off what filters overshoot of bytes only
            found = [values.clip(*self.ends) for values in found]
        return _together(found)

    def shown(self) -> Image.Image:
        """The image for the eye: RGB of 8 bits."""
        if self.planes[0].mode == "RGB":
            return self.planes[0]
        return Image.fromarray(np.rint(self.pixels().clip(0, 255)).astype(np.uint8))


def decode(path: Path, depth: Depth | None) -> Decoded:
    """Decode an image file of any mode, upright, by a data set's depth; None takes the file alone.

    Raises `UserError` with the file's name for one that is missing, damaged or no image.
    """
    depth = depth_alone(path) if depth is None else depth
    with reading("image", path), Image.open(path) as file:
        stored = stored_in(file)
        if stored is None or (stored.kind == "colour" and _upper_bytes(stored, depth)):
            return Decoded((as_rgb(turned(file)),))
        return from_values(values_of(file, stored), stored, depth, name=path)


def read_values(path: Path) -> tuple[np.ndarray, Stored | None]:
    """A file's values as they are stored, and what it says of them where it has more than 8 bits.

    (H, W, 3) uint8 RGB for one of 8 bits. Raises `UserError` as `decode` does.
    """
    with reading("image", path), Image.open(path) as file:
        stored = stored_in(file)
        if stored is None:
            return np.asarray(as_rgb(turned(file))), None
        values = values_of(file, stored)
        return (values.astype(np.uint16) if _fits_16_bits(values) else values), stored


def from_values(values: np.ndarray, stored: Stored, depth: Depth, *, name: object) -> Decoded:
    """Values (H, W) or (H, W, 3) as an image of its data set's depth, called `name` in warnings.

    Raises ValueError for values that are no numbers, and beyond 16 bits without a range.
    """
    if stored.kind == "floating point":
        if depth.range is None:
            raise ValueError(NO_RANGE)
        if not np.isfinite(values).all():
            raise ValueError("it holds values that are no finite numbers")
    elif depth.range is None and not _fits_16_bits(values):
        raise ValueError(
            f"grey values from {values.min()} to {values.max()} exceed 16 bits; say which are "
            "black and white with image.range"
        )
    low, high = float(values.min()), float(values.max())
    span = depth.span(white=stored.white, significant=stored.significant, peak=high)
    if high > span[1]:
        _tell_once(span, name, high)
    upper = to_bytes(values, span)
    if upper is not None:
        upper = 255 - upper if stored.white_zero else upper
        return Decoded((Image.fromarray(upper).convert("RGB"),))
    found = scaled(values, span)
    ends = scaled(np.array([low, high]), span)
    if stored.white_zero:
        found, ends = 255 - found, 255 - ends
    planes = found[..., None] if found.ndim == 2 else found
    deep = Decoded(
        tuple(Image.fromarray(planes[..., i]) for i in range(planes.shape[2])),
        (min(0.0, float(ends.min())), max(255.0, float(ends.max()))),
    )
    return deep if depth.deep else Decoded((deep.shown(),))


def _upper_bytes(stored: Stored, depth: Depth) -> bool:
    """Whether the upper bytes are all that counts, whatever the values are."""
    return depth.span(white=stored.white, significant=stored.significant) == FULL


def _fits_16_bits(values: np.ndarray) -> bool:
    if values.dtype == np.uint16:
        return True
    whole = np.issubdtype(values.dtype, np.integer)
    return whole and bool(values.min() >= 0 and values.max() <= FULL[1])


def _together(planes: list[np.ndarray]) -> np.ndarray:
    """One image (h, w, 3) of its planes."""
    if len(planes) == 1:
        (plane,) = planes
        return plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, axis=2)
    return np.stack(planes, axis=2)


def _tell_once(span: Span, name: object, peak: float) -> None:
    if span not in _TOLD:
        _TOLD.add(span)
        log.warning(
            "%s has values up to %g, above %g, which counts as white in this data set; the doctor "
            "names all such images, and image.bits or image.range says otherwise",
            name,
            peak,
            span[1],
        )
