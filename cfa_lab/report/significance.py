"""Student's t and Holm's correction: what a few numbers support."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


def students_t(samples: Sequence[np.ndarray], level: float) -> tuple[float, float, float]:
    """Interval of the sum of the samples' means, and the two-sided p of its being 0.

    One sample: Student's t; two: Welch's. NaN where a sample has fewer than two values.
    """
    if any(len(sample) < 2 for sample in samples):
        return math.nan, math.nan, math.nan
    mean = sum(float(sample.mean()) for sample in samples)
    parts = [float(sample.var(ddof=1)) / len(sample) for sample in samples]
    if (variance := sum(parts)) == 0:
        return mean, mean, float(mean == 0)
    freedom = variance**2 / sum(
        part**2 / (len(sample) - 1) for part, sample in zip(parts, samples, strict=True)
    )
    error = math.sqrt(variance)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    return mean - half, mean + half, 2 * float(stats.t.sf(abs(mean) / error, freedom))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979) of the p values of one family; NaN stays out of it."""
    corrected = [math.nan] * len(p_values)
    valid = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    highest = 0.0
    for rank, (p, i) in enumerate(valid):
        highest = max(highest, min(1.0, p * (len(valid) - rank)))
        corrected[i] = highest
    return corrected


def cut_to_range(values: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Bounds within 0..1, where all values lie there (differences need not)."""
    if values.min() >= 0 and values.max() <= 1:
        return max(0.0, low), min(1.0, high)
    return low, high
