"""The pictures of one test image, all at one size and on one colour scale."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageColor

from cfa_lab.figures.cases import Case
from cfa_lab.tracking.base import Panel

COLOUR_MAP = "inferno"
TRUTH_COLOUR = "#00FFE6"
THRESHOLD_COLOUR = "#FFFFFF"
PEAK_COLOUR = "#7CFC00"
RING = (6.0, 9.0)
"""Inner and outer radius of the mark at the highest score, in pixels of a panel."""
UNSCORED_GREY = 214
STRENGTH = 0.7
"""Share of the colour over the picture where the map is at its highest."""
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
    with_peak: bool = False,
) -> Panel:
    """The pictures of a case, with scores from `low` to `high` over the whole colour map.

    All are scaled so that the longer side has `longest_side` pixels, whatever the original, and
    lines keep their width. Outside the scored window the heat map is grey. The overlay shows the
    heat map the stronger the higher the score, the outline of the ground truth and, with a
    `threshold`, that of the scores from it upwards; `with_peak` rings the highest score. On a
    scale without extent (`low == high`) everything is at the low end.
    """
    scale = longest_side / max(case.heat.shape)
    size = (max(1, round(case.heat.shape[1] * scale)), max(1, round(case.heat.shape[0] * scale)))
    heat, scored = _resized_heat(case.heat, size, low=low)
    picture = Image.fromarray(case.image).resize(size, Image.Resampling.LANCZOS)
    mask = None if case.mask is None else _resize_mask(case.mask, size)
    heat_map = colour_map(heat, low=low, high=high)
    heat_map[~scored] = UNSCORED_GREY
    overlay = overlaid(picture, heat, scored, low=low, high=high, threshold=threshold)
    if mask is not None:
        overlay = _outline(overlay, mask, colour=TRUTH_COLOUR)
    if with_peak and np.isfinite(case.heat).any():
        peak = np.unravel_index(int(np.nanargmax(case.heat)), case.heat.shape)
        row, column = ((int(at) + 0.5) * scale - 0.5 for at in peak)
        heat_map, overlay = (_ringed(drawn, row, column) for drawn in (heat_map, overlay))
    return Panel(
        path=case.path,
        label=case.label,
        defect=case.defect,
        score=case.score,
        group=group,
        image=np.asarray(picture),
        heat=heat_map,
        overlay=overlay,
        mask=mask,
    )


def render_overlay(
    picture: Image.Image,
    heat: np.ndarray,
    *,
    low: float,
    high: float,
    threshold: float | None = None,
) -> np.ndarray:
    """A picture under a map (H, W) of any size, as the overlay of a panel: uint8 (h, w, 3)."""
    resized, scored = _resized_heat(heat, picture.size, low=low)
    return overlaid(picture, resized, scored, low=low, high=high, threshold=threshold)


def overlaid(
    picture: Image.Image,
    heat: np.ndarray,
    scored: np.ndarray,
    *,
    low: float,
    high: float,
    threshold: float | None,
) -> np.ndarray:
    """The picture under the map's colours, the stronger the higher, where it was scored."""
    strength = (_levels(heat, low=low, high=high) * STRENGTH).astype(np.uint8)
    strength[~scored] = 0
    colours = Image.fromarray(colour_map(heat, low=low, high=high))
    overlay = np.asarray(Image.composite(colours, picture, Image.fromarray(strength)))
    if threshold is not None:
        overlay = _outline(overlay, scored & (heat >= threshold), colour=THRESHOLD_COLOUR)
    return overlay


def colour_map(values: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """Values (h, w) as uint8 colours (h, w, 3), from `low` to `high` over the whole colour map."""
    return _table()[_levels(values, low=low, high=high)]


def _levels(values: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """Values as 0 to 255; all 0 on a scale without extent."""
    if not high > low:
        return np.zeros(values.shape, dtype=np.uint8)
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.minimum(share * 256, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    """The colour map's 256 colours, (256, 3) uint8."""
    from matplotlib import colormaps

    return colormaps[COLOUR_MAP](np.arange(256), bytes=True)[:, :3]


def _resized_heat(
    heat: np.ndarray, size: tuple[int, int], *, low: float
) -> tuple[np.ndarray, np.ndarray]:
    """A map at another size (width, height), `low` where it was not scored, and where it was."""
    scored = np.isfinite(heat)
    if scored.all():
        return _resize(heat, size), np.ones(size[::-1], dtype=bool)
    resized = _resize(np.where(scored, heat, low).astype(np.float32), size)
    return resized, _resize(scored.astype(np.float32), size) > 0.5


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


def _ringed(picture: np.ndarray, row: float, column: float) -> np.ndarray:
    """A copy of the picture with a ring around a place, in a colour with a dark edge."""
    rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
    away = np.hypot(rows - row, columns - column)
    inner, outer = RING
    drawn = picture.copy()
    drawn[(away >= inner - 1) & (away <= outer + 1)] = 0
    drawn[(away >= inner) & (away <= outer)] = ImageColor.getrgb(PEAK_COLOUR)
    return drawn


def _grown(region: np.ndarray) -> np.ndarray:
    """The region (h, w) bool and all four neighbours of its pixels."""
    grown = region.copy()
    grown[1:] |= region[:-1]
    grown[:-1] |= region[1:]
    grown[:, 1:] |= region[:, :-1]
    grown[:, :-1] |= region[:, 1:]
    return grown
