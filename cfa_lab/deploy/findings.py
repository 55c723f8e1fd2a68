"""What a score and a map mean at thresholds: a decision, an area, a box."""

from dataclasses import dataclass

import numpy as np

from cfa_lab.data.geometry import Box
from cfa_lab.deploy.runtime import Scored
from cfa_lab.metrics.regions import EIGHT_NEIGHBOURS


@dataclass(frozen=True)
class Finding:
    """One image judged; None where no threshold is there to judge by."""

    score: float
    decision: int | None
    area: int | None
    """Pixels of the original image at or above the pixel threshold."""
    box: Box | None
    """Top, left, height, width of the largest region of them; None where there is none."""


def judge(
    scored: Scored, *, image_threshold: float | None, pixel_threshold: float | None
) -> Finding:
    """Decide an image (`score >= threshold`) and measure what its map shows."""
    decision = None if image_threshold is None else int(scored.score >= image_threshold)
    if pixel_threshold is None:
        return Finding(scored.score, decision, None, None)
    above = scored.window_map >= pixel_threshold
    top, left, *_ = scored.placement.window
    return Finding(scored.score, decision, int(above.sum()), _largest(above, top, left))


def _largest(above: np.ndarray, top: int, left: int) -> Box | None:
    """The box of the largest region, pixels that touch at a corner being one, as in the metrics.

    Of equals the upper left one.
    """
    if not above.any():
        return None
    from scipy.ndimage import find_objects, label

    labels: np.ndarray = label(above, structure=EIGHT_NEIGHBOURS)[0]  # pyright: ignore
    rows, columns = find_objects(labels)[int(np.bincount(labels.ravel())[1:].argmax())]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    return top + rows.start, left + columns.start, height, width
