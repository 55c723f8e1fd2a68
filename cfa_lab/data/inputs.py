"""Images as people hold them, in files, arrays or Pillow's hands, as inputs of the network."""

from pathlib import Path

import numpy as np
from PIL import Image

from cfa_lab.data.geometry import Geometry
from cfa_lab.data.images import LoadedImage, as_rgb, fit_image, read_image
from cfa_lab.data.tiles import cut
from cfa_lab.errors import UserError

Picture = str | Path | np.ndarray | Image.Image
"""An image file's path, an array (H, W, 3) uint8 RGB or (H, W) uint8 or uint16, a Pillow image."""


def as_image(picture: Picture) -> Image.Image:
    """Any picture as an RGB image; of 16-bit grey the upper 8 bits are kept, as of a file's.

    Raises UserError for what cannot be read, and for arrays of other shapes or types.
    """
    if isinstance(picture, Image.Image):
        try:
            return as_rgb(picture)
        except ValueError as error:
            raise UserError(f"cannot use the image given: {error}") from error
    if not isinstance(picture, np.ndarray):
        return read_image(Path(picture))
    colour = picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8
    grey = picture.ndim == 2 and str(picture.dtype) in ("uint8", "uint16")
    if not (colour or grey) or not picture.size:
        raise UserError(
            f"an image array is {picture.dtype} of shape {picture.shape}; allowed: uint8 of shape "
            "(height, width, 3), RGB, or uint8 or uint16 of shape (height, width)"
        )
    values = (picture >> 8).astype(np.uint8) if picture.dtype == np.uint16 else picture
    return Image.fromarray(np.ascontiguousarray(values)).convert("RGB")


def inputs_of(image: Image.Image, geometry: Geometry) -> list[LoadedImage]:
    """What the network gets of an RGB image: one input, or one for each of its tiles."""
    if geometry.resize != "tile":
        return [fit_image(image, geometry)]
    pixels = np.asarray(image)
    windows = geometry.windows((image.height, image.width))
    return [LoadedImage(*cut(pixels, window)) for window in windows]
