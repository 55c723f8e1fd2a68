"""Other people's metrics, to reproduce what they print, each with its defect. Not for reports.

All of them look at equally spaced scores, so a monotone change of the scores changes their value.
Maps and masks: sequences of (h, w), or (n, h, w).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cfa_lab.metrics.pixels import split_pixels
from cfa_lab.metrics.ranking import Ranking, area_under, rank_at

Arrays = np.ndarray | Sequence[np.ndarray]


@dataclass(frozen=True)
class EqualWidth:
    """Pixel metrics of a histogram with bins of equal width."""

    auroc: float
    aupr: float
    aupro: float


def authors_aupro(
    maps: Arrays, masks: Arrays, *, num_thresholds: int = 200, limit: float = 0.3
) -> float:
    """The AUPRO of the CFA authors' code: 200 thresholds, both axes rescaled to [0, 1].

    Rescaling the overlap as well as the rate drops the height of the curve; no figure made this way
    compares with another paper's. NaN where that code divides by zero.
    """
    low, high = _range(maps)
    if low == high:
        return float("nan")
    scale = np.float32(high - low)
    scores = [(np.asarray(m, dtype=np.float32) - np.float32(low)) / scale for m in maps]
    steps = np.arange(num_thresholds)
    thresholds = (1.0 - steps / num_thresholds).astype(np.float32)
    counts = _count(scores, masks, thresholds)
    rate = counts.false_positives[0::2] / counts.num_negatives  # decided by score > threshold
    overlap = counts.coverage[0::2] / counts.num_regions
    kept = rate <= limit
    rate, overlap = rate[kept], overlap[kept]
    if rate.size == 0 or np.ptp(rate) == 0 or np.ptp(overlap) == 0:
        return float("nan")
    rate, overlap = (rate - rate[0]) / np.ptp(rate), (overlap - overlap[0]) / np.ptp(overlap)
    return area_under(rate, overlap, limit=1.0)


def equal_width(
    maps: Arrays, masks: Arrays, *, num_strips: int = 1000, limit: float = 0.3
) -> EqualWidth:
    """AUROC, area under the PR curve (trapezoids, no AP) and AUPRO from equal bins, as adeval.

    ADer takes 50 strips, INP-Former 200, adeval's default is 1000. With heavy-tailed scores nearly
    all pixels share a bin. AUPRO is NaN where the highest bin alone exceeds the limit.
    """
    low, high = _range(maps)
    ends = np.linspace(0.0, 1.0, num_strips + 1, dtype=np.float32)
    ends = ends * np.float32(high - low) + np.float32(low)
    counts = _count(maps, masks, np.unique(ends)[::-1])
    alarms, hits = counts.false_positives[1::2], counts.true_positives[1::2]  # score >= bin end
    rate, recall = alarms / counts.num_negatives, hits / counts.num_positives
    found = alarms + hits
    precision = np.divide(hits, found, out=np.ones_like(hits), where=found > 0)
    overlap = counts.coverage[1::2] / counts.num_regions
    return EqualWidth(
        auroc=area_under(rate, recall, limit=1.0),
        aupr=area_under(recall, precision, limit=1.0),
        aupro=area_under(rate, overlap, limit=limit) / limit if rate[0] <= limit else np.nan,
    )


def evenly_spaced_f1max(maps: Arrays, masks: Arrays, *, num_steps: int = 20) -> float:
    """Pixel F1max over thresholds 0, 1/20 ... 1 of maps normalised by the test set, as ADer."""
    low, high = _range(maps)
    thresholds = low + (high - low) * np.linspace(1.0, 0.0, num_steps + 1)
    counts = _count([np.asarray(m, dtype=np.float64) for m in maps], masks, thresholds)
    alarms, hits = counts.false_positives[0::2], counts.true_positives[0::2]  # score > threshold
    return float(np.max(2 * hits / (hits + alarms + counts.num_positives)))


def normalise_and_clamp(
    scores: np.ndarray, *, threshold: float, low: float, high: float
) -> np.ndarray:
    """Scores as anomalib hands them to its metrics: (s - threshold) / (high - low) + 0.5, clamped.

    Everything beyond half the range from the threshold becomes a tie. `low` and `high` are the
    extremes of anomalib's validation set, which by default is the test set.
    """
    return np.clip((scores - threshold) / (high - low) + 0.5, 0.0, 1.0)


def resize_mask(mask: np.ndarray, *, size: int = 256, above: float = 0.5) -> np.ndarray:
    """A (size, size) mask, bilinear with antialiasing, defect where > `above` (peers: 0 or 0.5).

    `above=0.0` widens every defect by about a pixel; 0.5 loses thin ones.
    """
    picture = Image.fromarray((np.asarray(mask) != 0).astype(np.uint8) * 255)
    resized = picture.resize((size, size), resample=Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32) / 255 > above


def _range(maps: Arrays) -> tuple[float, float]:
    return float(min(np.min(m) for m in maps)), float(max(np.max(m) for m in maps))


def _count(maps: Arrays, masks: Arrays, thresholds: np.ndarray) -> Ranking:
    images = [split_pixels(np.asarray(m), np.asarray(g)) for m, g in zip(maps, masks, strict=True)]
    return rank_at(
        thresholds,
        [image.negatives for image in images],
        np.concatenate([image.positives for image in images]),
        weights=np.concatenate([image.weights for image in images]),
        num_regions=sum(image.num_regions for image in images),
    )
