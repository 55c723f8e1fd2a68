"""Pictures that programs hand in (files, arrays, Pillow's images), made ready for the network."""

from pathlib import Path

import numpy as np
from PIL import Image

from cfa_lab.data.decoded import Decoded, decode, from_values
from cfa_lab.data.depth import Depth
from cfa_lab.data.geometry import Geometry
from cfa_lab.data.images import LoadedImage, fit_image
from cfa_lab.data.opening import as_rgb
from cfa_lab.data.stored import Stored
from cfa_lab.data.tiles import cut
from cfa_lab.errors import UserError

Picture = str | Path | np.ndarray | Image.Image
"""An image file's path, an array (H, W, 3), RGB, or (H, W), or a Pillow image."""

KINDS = {"u1": "", "u2": "grey", "f4": "floating point", "f8": "floating point"}


def as_image(picture: Picture, depth: Depth) -> Decoded:
    """Any picture as an image of a model's depth, as a file of the same values would be.

    Raises UserError for what cannot be read, and for arrays of other shapes or types.
    """
    if isinstance(picture, str | Path):
        return decode(Path(picture), depth)
    try:
        if isinstance(picture, np.ndarray):
            return _of_array(picture, depth)
        if picture.mode.startswith(("I", "F")):
            kind = "floating point" if picture.mode == "F" else "grey"
            return from_values(np.asarray(picture), Stored(kind), depth, name="an image")
        return Decoded(as_rgb(picture))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"cannot use the image given: {error}") from error


def inputs_of(image: Decoded, geometry: Geometry) -> list[LoadedImage]:
    """What the network gets of an image: one input, or one for each of its tiles."""
    if geometry.resize != "tile":
        return [fit_image(image, geometry)]
    pixels = image.pixels()
    return [LoadedImage(*cut(pixels, window)) for window in geometry.windows(image.size)]


def _of_array(values: np.ndarray, depth: Depth) -> Decoded:
    form = values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 3)
    kind = KINDS.get(values.dtype.str[1:])
    if kind == "floating point" and depth.range is None:
        kind = None
    if kind is None or not form or not values.size:
        raise UserError(
            f"an image array is {values.dtype} of shape {values.shape}; allowed: uint8, uint16 or, "
            "with image.range, floating point, of shape (height, width), or (height, width, 3), RGB"
        )
    if not kind:
        return Decoded(Image.fromarray(np.ascontiguousarray(values)).convert("RGB"))
    return from_values(values, Stored(kind), depth, name="an array")
