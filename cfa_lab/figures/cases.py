"""Which test images are worth looking at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cfa_lab.records.figures import FALSE_POSITIVE, MISS, TYPICAL


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One test image with all that is drawn of it, at the resolution of the original image.

    `image` is uint8 (h, w, 3), `mask` bool (h, w) or None where the data set has none, `heat`
    float32 (h, w) with NaN outside the scored window. `label` is 0 for normal and 1 for defect.
    """

    path: str
    label: int
    defect: str
    score: float
    image: np.ndarray
    mask: np.ndarray | None
    heat: np.ndarray


def choose_cases(
    predictions: Sequence[Mapping[str, Any]], *, num_each: int
) -> dict[str, list[int]]:
    """Indices of the worst and of typical images, at most `num_each` to a group, each image once.

    "false positive" holds the normal images with the highest scores and "miss" the defect images
    with the lowest, worst first; no threshold is involved. "typical" is spread evenly over the
    ranks of all other images by score, lowest first. Equal scores are ordered by path.
    """
    order = sorted(
        range(len(predictions)), key=lambda i: (predictions[i]["score"], predictions[i]["path"])
    )
    false_positives = [i for i in reversed(order) if predictions[i]["label"] == 0][:num_each]
    misses = [i for i in order if predictions[i]["label"] == 1][:num_each]
    rest = [i for i in order if i not in {*false_positives, *misses}]
    num_typical = min(num_each, len(rest))
    typical = [rest[(2 * k + 1) * len(rest) // (2 * num_typical)] for k in range(num_typical)]
    return {FALSE_POSITIVE: false_positives, MISS: misses, TYPICAL: typical}
