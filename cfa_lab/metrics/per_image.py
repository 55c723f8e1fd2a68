"""AUPIMO: how much of each defect image is found, at false-positive rates of normal images only."""

from collections.abc import Iterable, Sequence

import numpy as np

from cfa_lab.errors import UserError
from cfa_lab.metrics.ranking import count_exceeding

FPR_RANGE = (1e-5, 1e-4)  # the range of the AUPIMO paper and of its benchmark


def aupimo(
    normals: Iterable[np.ndarray],
    positives: Sequence[np.ndarray],
    *,
    fpr_range: tuple[float, float] = FPR_RANGE,
) -> np.ndarray:
    """Area under each defect image's recall, over the log of normal images' false-positive rate.

    `normals`: all pixel scores (n,) of each normal image; `positives`: the defect pixels' scores
    (p,) of each defect image. Returns (d,) float64 in [0, 1], one value per defect image; NaN where
    there is no normal image or no defect pixel.

    The rate is the mean over normal images, the area is divided by log(high / low) (Bertoldo et
    al., 2024). Theirs samples evenly spaced thresholds and interpolates in log(rate); this
    integrates the exact curve, which at ties is sloped in the rate itself.
    """
    low, high = fpr_range
    if not 0.0 < low < high <= 1.0:
        raise UserError(f"AUPIMO range {fpr_range} needs 0 < low < high <= 1, as in {FPR_RANGE}")
    by_size: dict[int, list[np.ndarray]] = {}
    for scores in normals:
        by_size.setdefault(scores.size, []).append(scores)
    num_normals = sum(len(group) for group in by_size.values())
    aupimos = np.full(len(positives), np.nan)
    if num_normals == 0 or not positives:
        return aupimos

    thresholds = np.unique(np.concatenate(positives))[::-1]
    shared_rate = np.zeros(2 * thresholds.size)  # alternates score > threshold, score >= threshold
    for size, group in by_size.items():
        shared_rate += count_exceeding(group, thresholds)[1] / (size * num_normals)
    for index, scores in enumerate(positives):
        if scores.size:
            own, counts = np.unique(scores, return_counts=True)
            recall = np.repeat(np.append(0.0, np.cumsum(counts[::-1]) / scores.size), 2)
            places = thresholds.size - 1 - np.searchsorted(thresholds[::-1], own[::-1])
            rate = shared_rate.reshape(-1, 2)[places].ravel()  # (2 * own,)
            rate = np.concatenate(([0.0], rate, [1.0]))
            aupimos[index] = _area_over_log(rate, recall, low=low, high=high)
    return aupimos


def _area_over_log(x: np.ndarray, y: np.ndarray, *, low: float, high: float) -> float:
    """Mean of the broken line (x, y) over log(x) between low and high.

    On a piece y = a + s x, and the integral of y / x is a log(x) + s x.
    """
    left, right = np.clip(x[:-1], low, high), np.clip(x[1:], low, high)
    inside = right > left
    left, right, start = left[inside], right[inside], y[:-1][inside]
    slope = np.diff(y)[inside] / np.diff(x)[inside]
    constant = start - slope * x[:-1][inside]
    area = np.sum(constant * np.log(right / left) + slope * (right - left))
    return float(area / np.log(high / low))
