"""An image as it was decoded: RGB of 8 bits, or floating point where there are more."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from cfa_lab.data.bands import band_of
from cfa_lab.data.depth import BYTE, FULL, USUAL, Depth, Span, scaled, to_bytes, usual_bits
from cfa_lab.data.depth_found import NO_RANGE, depth_alone
from cfa_lab.data.geometry import Size
from cfa_lab.data.opening import as_rgb, open_image, reading, turned
from cfa_lab.data.stored import Stored, stored_in, values_of

log = logging.getLogger(__name__)

UNKNOWN = Depth()
"""Nothing was said, and no image of more than 8 bits was trained on."""
_TOLD: set[Span | Depth] = set()


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image of 8 bits, or of more; black is 0 and white 255 in both."""

    image: Image.Image | np.ndarray
    """RGB of 8 bits, or values (H, W, 1 or 3) as they are stored, or float32."""
    scale: Callable[[np.ndarray], np.ndarray] = np.asarray
    """Makes float32 of stored values, black 0 and white 255."""
    ends: Span = BYTE
    """No value, resized or not, is beyond these: black and white, or what goes beyond."""

    @property
    def size(self) -> Size:
        """Height and width."""
        if isinstance(self.image, np.ndarray):
            return self.image.shape[0], self.image.shape[1]
        return self.image.height, self.image.width

    def pixels(self) -> np.ndarray:
        """The image, (H, W, 3): uint8, or float32 where it has more than 8 bits."""
        return _as_colours(self.scale(np.asarray(self.image)))

    def resized(self, size: Size, resampling: Image.Resampling) -> np.ndarray:
        """The image at another size, likewise."""
        if not isinstance(self.image, np.ndarray):
            return np.asarray(self.image.resize((size[1], size[0]), resampling))
        if size == self.size:
            return self.pixels()
        from cfa_lab.data.resize import resize  # only here: few images need numba

        # filters overshoot, which Pillow cuts off of bytes only
        found = resize(self.image, size, resampling, self.scale)
        return _as_colours(found.clip(*self.ends, out=found))

    def shown(self) -> Image.Image:
        """The image for the eye: RGB of 8 bits."""
        if not isinstance(self.image, np.ndarray):
            return self.image
        return Image.fromarray(np.rint(self.pixels().clip(0, 255)).astype(np.uint8))


def decode(path: Path, depth: Depth | None) -> Decoded:
    """Decode an image file of any mode, upright, by a data set's depth; None takes the file alone.

    Raises `UserError` with the file's name for one that is missing, damaged or no image.
    """
    depth = depth_alone(path) if depth is None else depth
    with reading("image", path), open_image(path) as file:
        return _decoded(file, depth, path)


def decode_band(path: Path, depth: Depth, top: int, height: int) -> tuple[np.ndarray, int] | None:
    """Rows (h, W, 3) of a large TIFF, as `decode` gives them, and which one is the first of them.

    At least `height` from `top` on. None for a file of which no part can be read alone.
    """
    with reading("image", path):
        if (band := band_of(path, top, height)) is None:
            return None
        with open_image(band[0]) as file:
            return np.array(_decoded(file, depth, path).pixels()), band[1]


def _decoded(file: Image.Image, depth: Depth, name: object) -> Decoded:
    stored = stored_in(file)
    if stored is None:
        return Decoded(as_rgb(turned(file)))
    if stored.kind == "colour" and _upper_bytes(stored, depth):
        image = as_rgb(turned(file))
        if depth == UNKNOWN:
            _tell_if_dark(stored, float(int(np.asarray(image).max()) << 8 | 0xFF), name)
        return Decoded(image)
    return from_values(values_of(file, stored), stored, depth, name=name)


def read_values(path: Path) -> tuple[np.ndarray, Stored | None]:
    """A file's values as they are stored, and what it says of them where it has more than 8 bits.

    (H, W, 3) uint8 RGB for one of 8 bits. Raises `UserError` as `decode` does.
    """
    with reading("image", path), open_image(path) as file:
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
    if depth == UNKNOWN:
        _tell_if_dark(stored, high, name)
    upper = to_bytes(values, span)
    if upper is not None:
        upper = 255 - upper if stored.white_zero else upper
        return Decoded(Image.fromarray(upper).convert("RGB"))
    scale = partial(scaled, span=span, white_zero=stored.white_zero)
    ends = scale(np.array([low, high]))
    deep = Decoded(
        values[..., None] if values.ndim == 2 else values,
        scale,
        (min(0.0, float(ends.min())), max(255.0, float(ends.max()))),
    )
    return deep if depth.deep else Decoded(deep.shown())


def _upper_bytes(stored: Stored, depth: Depth) -> bool:
    """Whether the upper bytes are all that counts, whatever the values are."""
    return depth.span(white=stored.white, significant=stored.significant) == FULL


def _fits_16_bits(values: np.ndarray) -> bool:
    if values.dtype == np.uint16:
        return True
    whole = np.issubdtype(values.dtype, np.integer)
    return whole and bool(values.min() >= 0 and values.max() <= FULL[1])


def _as_colours(pixels: np.ndarray) -> np.ndarray:
    """(h, w, 3) of (h, w, 1 or 3)."""
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


def _tell_if_dark(stored: Stored, peak: float, name: object) -> None:
    """A camera's 12 bits in 16, where nothing says so, since training saw files of 8 bits only."""
    says = stored.white is not None or stored.significant is not None
    if not says and usual_bits(peak) < USUAL[-1] and UNKNOWN not in _TOLD:
        _TOLD.add(UNKNOWN)
        log.warning(
            "%s has no value above %g of 65535 and is almost black so: no image of more than 8 "
            "bits was trained on that would say how many count; run again with image.bits=%d "
            "(the doctor names all such)",
            *(name, peak, usual_bits(peak)),
        )


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
