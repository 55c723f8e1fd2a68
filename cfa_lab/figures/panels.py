"""The pictures of one test image, all at one size and on one colour scale."""

import numpy as np
from PIL import Image, ImageColor

from cfa_lab.figures.cases import Case
from cfa_lab.tracking.base import Panel

COLOUR_MAP = "inferno"
TRUTH_COLOUR = "#00FFE6"
THRESHOLD_COLOUR = "#FFFFFF"
UNSCORED_GREY = 214
LONGEST_SIDE = 384
"""Pixels of a panel, half as many again as a gallery shows."""


def render_panel(
    case: Case,
    group: str,
    *,
    low: float,
    high: float,
    threshold: float | None = None,
    longest_side: int = LONGEST_SIDE,
) -> Panel:
    """The pictures of a case, with scores from `low` to `high` over the whole colour map.

    All are scaled so that the longer side has `longest_side` pixels, whatever the original, and
    lines keep their width. Outside the scored window the heat map is grey. The overlay shows the
    heat map the stronger the higher the score, the outline of the ground truth and, with a
    `threshold`, that of the scores from it upwards. On a scale without extent (`low == high`)
    everything is at the low end.
    """
    scale = longest_side / max(case.heat.shape)
    size = (max(1, round(case.heat.shape[1] * scale)), max(1, round(case.heat.shape[0] * scale)))
    scored = np.isfinite(case.heat)
    heat = _resize(np.where(scored, case.heat, low).astype(np.float32), size)
    scored = _resize(scored.astype(np.float32), size) > 0.5
    image = np.asarray(Image.fromarray(case.image).resize(size, Image.Resampling.LANCZOS))
    mask = None if case.mask is None else _resize_mask(case.mask, size)

    value = np.clip((heat - low) / (high - low), 0, 1) if high > low else np.zeros_like(heat)
    heat_map = np.where(scored[..., None], colours(value), UNSCORED_GREY).astype(np.uint8)
    weight = np.where(scored, 0.7 * value, 0.0)[..., None]
    overlay = ((1 - weight) * image + weight * heat_map).round().astype(np.uint8)
    if threshold is not None:
        overlay = _outline(overlay, scored & (heat >= threshold), colour=THRESHOLD_COLOUR)
    if mask is not None:
        overlay = _outline(overlay, mask, colour=TRUTH_COLOUR)
    return Panel(
        path=case.path,
        label=case.label,
        defect=case.defect,
        score=case.score,
        group=group,
        image=image,
        heat=heat_map,
        overlay=overlay,
        mask=mask,
    )


def colours(value: np.ndarray) -> np.ndarray:
    """Values in [0, 1] (h, w) as uint8 colours (h, w, 3) of the colour map."""
    from matplotlib import colormaps

    return colormaps[COLOUR_MAP](value, bytes=True)[..., :3]


def _resize(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))


def _resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask at another size; a defect of a single pixel never vanishes."""
    share = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
    return np.asarray(share) > 0


def _outline(picture: np.ndarray, region: np.ndarray, *, colour: str) -> np.ndarray:
    """A copy of the picture with a line around the region, in the colour with a dark edge."""
    near = _grown(_grown(region))
    far = _grown(near)
    drawn = picture.copy()
    drawn[far & ~region] = 0
    drawn[near & ~region] = ImageColor.getrgb(colour)
    return drawn


def _grown(region: np.ndarray) -> np.ndarray:
    """The region (h, w) bool and all four neighbours of its pixels."""
    grown = region.copy()
    grown[1:] |= region[:-1]
    grown[:-1] |= region[1:]
    grown[:, 1:] |= region[:, :-1]
    grown[:, :-1] |= region[:, 1:]
    return grown
