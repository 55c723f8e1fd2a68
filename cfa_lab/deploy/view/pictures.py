"""The pictures of an examined image, and small ones of patches."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from cfa_lab.data.geometry import Box, Size
from cfa_lab.deploy.view.examined import Examined
from cfa_lab.figures.cases import Case
from cfa_lab.figures.panels import UNSCORED_GREY, render_panel

LONGEST_SIDE = 512
CROP_SIDE = 160
"""Pixels of the picture of a patch."""
CONTEXT = 3
"""Patches that a picture of one shows beyond it on each side."""
MARK = "#FF3DF2"


@dataclass(frozen=True, eq=False)
class Pictures:
    """All (h, w, 3) uint8 and of one size; None where there is no mask, or no threshold."""

    image: np.ndarray
    mask: np.ndarray | None
    heat: np.ndarray
    overlay: np.ndarray
    above: np.ndarray | None
    """White where the map is at or above the pixel threshold, grey where nothing was scored."""


def draw(
    examined: Examined,
    *,
    colour_range: tuple[float, float],
    pixel_threshold: float | None,
    marked: Box | None = None,
) -> Pictures:
    """Draw an image; a box of the original is marked on image and overlay."""
    case = Case(
        path=examined.name,
        label=examined.label or 0,
        defect=examined.defect or "",
        score=examined.scored.score,
        image=examined.image,
        mask=examined.mask,
        heat=examined.heat,
    )
    low, high = colour_range
    panel = render_panel(
        case, "", low=low, high=high, threshold=pixel_threshold, longest_side=LONGEST_SIDE
    )
    above = None
    if pixel_threshold is not None:
        values = np.where(examined.heat >= pixel_threshold, 255, 0).astype(np.uint8)
        values[np.isnan(examined.heat)] = UNSCORED_GREY
        size = panel.image.shape[1], panel.image.shape[0]
        above = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.NEAREST))
    return Pictures(
        image=_marked(panel.image, examined, marked),
        mask=None if panel.mask is None else _grey(np.where(panel.mask, 255, 0)),
        heat=panel.heat,
        overlay=_marked(panel.overlay, examined, marked),
        above=None if above is None else _grey(above),
    )


def shown_size(examined: Examined) -> Size:
    """Height and width of an image's pictures."""
    height, width = examined.image.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def draw_patch(image: np.ndarray, box: Box) -> np.ndarray:
    """A square picture of a patch of an image (H, W, 3) with what surrounds it, the patch marked.

    What lies beyond the image is grey.
    """
    top, left, height, width = box
    side = max(height, width) * (2 * CONTEXT + 1)
    first = top + height // 2 - side // 2, left + width // 2 - side // 2
    square = np.full((side, side, 3), UNSCORED_GREY, dtype=np.uint8)
    rows, columns = (
        slice(max(0, start), min(length, start + side))
        for start, length in zip(first, image.shape[:2], strict=True)
    )
    square[
        rows.start - first[0] : rows.stop - first[0],
        columns.start - first[1] : columns.stop - first[1],
    ] = image[rows, columns]
    picture = Image.fromarray(square).resize((CROP_SIDE, CROP_SIDE), Image.Resampling.BICUBIC)
    _frame(picture, (top - first[0], left - first[1], height, width), CROP_SIDE / side)
    return np.asarray(picture)


def _marked(picture: np.ndarray, examined: Examined, box: Box | None) -> np.ndarray:
    if box is None:
        return picture
    drawn = Image.fromarray(picture)
    _frame(drawn, box, picture.shape[1] / examined.image.shape[1])
    return np.asarray(drawn)


def _frame(picture: Image.Image, box: Box, scale: float) -> None:
    """Draw a line around a box, whose lengths are before scaling."""
    top, left, height, width = (length * scale for length in box)
    corners = (left - 1, top - 1, left + width, top + height)
    ImageDraw.Draw(picture).rectangle(corners, outline=MARK, width=2)


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)
