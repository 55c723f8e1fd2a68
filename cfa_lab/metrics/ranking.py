"""Exact counts above every defect score, and the ranking metrics that follow from them.

A ranking metric changes only where the threshold passes the score of a positive, so the negatives
need no positions and no argsort: their values are sorted, block by block, and the distinct scores
of the few positives are looked up in them. Everything below is arithmetic on those counts, in
float64.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

BLOCK_VALUES = 2**25  # negatives sorted at a time: 128 MiB of float32


@dataclass(frozen=True)
class Ranking:
    """How much lies above, and at or above, each of t thresholds taken from the positives' scores.

    `thresholds` (t,) descend. The (2t,) float64 arrays alternate "score > threshold" and "score >=
    threshold" and are the corners of the curves: flat or vertical between thresholds, sloped only
    where a threshold is shared by positives and negatives. `coverage` counts each positive with a
    weight of its own (1 / area of its region for PRO), and `num_regions` is what it adds up to.
    """

    thresholds: np.ndarray
    false_positives: np.ndarray
    true_positives: np.ndarray
    coverage: np.ndarray
    num_negatives: float
    num_positives: float
    num_regions: float


@dataclass(frozen=True)
class Best:
    """The highest value over all thresholds, and the highest threshold that reaches it."""

    value: float
    threshold: float


def rank(
    negatives: Iterable[np.ndarray],
    positives: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    num_regions: float = 0.0,
) -> Ranking:
    """Count negatives and positives around every distinct score of the positives.

    `negatives`: 1-d arrays of any lengths, left unchanged; their borders mean nothing. `positives`
    (p,) and `weights` (p,) belong together. Extra memory: one block of negatives and about 60 bytes
    per positive.
    """
    order = np.argsort(positives)[::-1]
    descending = positives[order]
    is_last_of_tie = np.append(descending[1:] != descending[:-1], True)[: positives.size]
    last_of_tie = np.flatnonzero(is_last_of_tie)
    thresholds = descending[last_of_tie]
    coverage = np.zeros(thresholds.size)
    if weights is not None:
        coverage = np.cumsum(weights[order], dtype=np.float64)[last_of_tie]
    num_negatives, false_positives = count_exceeding(negatives, thresholds)
    return Ranking(
        thresholds=thresholds,
        false_positives=false_positives,
        true_positives=_before_and_after(last_of_tie + 1.0),
        coverage=_before_and_after(coverage),
        num_negatives=float(num_negatives),
        num_positives=float(positives.size),
        num_regions=num_regions,
    )


def rank_at(
    thresholds: np.ndarray,
    negatives: Iterable[np.ndarray],
    positives: np.ndarray,
    *,
    weights: np.ndarray,
    num_regions: float,
) -> Ranking:
    """Count negatives and positives around given descending thresholds, for sampled curves."""
    num_negatives, false_positives = count_exceeding(negatives, thresholds)
    order = np.argsort(positives)
    ascending = positives[order]
    remaining = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)  # from each positive upwards
    above = ascending.searchsorted(thresholds, side="right")
    at_or_above = ascending.searchsorted(thresholds, side="left")
    first = np.stack([above, at_or_above], axis=1).ravel()  # (2t,)
    return Ranking(
        thresholds=thresholds,
        false_positives=false_positives,
        true_positives=(positives.size - first).astype(np.float64),
        coverage=remaining[first],
        num_negatives=float(num_negatives),
        num_positives=float(positives.size),
        num_regions=num_regions,
    )


def count_exceeding(values: Iterable[np.ndarray], thresholds: np.ndarray) -> tuple[int, np.ndarray]:
    """The number of values, and how many are > and >= each descending threshold: (2t,) float64."""
    counts = np.zeros(2 * thresholds.size)
    num_values = 0
    ascending = thresholds[::-1]
    for block in _blocks(values):
        num_values += block.size
        if ascending.size == 0:
            continue
        exceeds_any = block >= ascending[0]
        # Sorting what exceeds no threshold is a waste, but so is picking nearly everything out.
        kept = block[exceeds_any] if 2 * np.count_nonzero(exceeds_any) < block.size else block
        kept.sort()
        at_or_above = kept.searchsorted(ascending)
        above = at_or_above.copy()
        inside = np.count_nonzero(at_or_above < kept.size)
        tied = np.flatnonzero(kept[at_or_above[:inside]] == ascending[:inside])
        above[tied] = kept.searchsorted(ascending[tied], side="right")
        counts[0::2] += kept.size - above[::-1]
        counts[1::2] += kept.size - at_or_above[::-1]
    return num_values, counts


def auroc(ranking: Ranking) -> float:
    """Area under the ROC curve: the share of (positive, negative) pairs in order, ties by half."""
    area = area_under(
        np.concatenate(([0.0], ranking.false_positives, [ranking.num_negatives])),
        np.concatenate(([0.0], ranking.true_positives, [ranking.num_positives])),
        limit=ranking.num_negatives,
    )
    return area / (ranking.num_negatives * ranking.num_positives)


def average_precision(ranking: Ranking) -> float:
    """Sum over thresholds of recall gained times precision, without interpolation.

    A ranking that holds only some of the positives' scores (the bootstrap's) gains recall between
    its thresholds too; there positives and negatives are taken to be evenly mixed.
    """
    hits, alarms = ranking.true_positives, ranking.false_positives
    found = np.maximum(hits[1::2] + alarms[1::2], 1.0)  # 0 only where hits are 0 too
    total = np.sum((hits[1::2] - hits[0::2]) * hits[1::2] / found)
    before = np.append(0.0, hits[1:-1:2])
    between = np.flatnonzero(hits[0::2] > before)
    if between.size:
        alarms_before = np.append(0.0, alarms[1:-1:2])[between]
        total += np.sum(
            _mixed_precision(
                before[between], hits[0::2][between], alarms_before, alarms[0::2][between]
            )
        )
    return float(total / ranking.num_positives)


def f1max(ranking: Ranking) -> Best:
    """The highest F1 = 2 TP / (2 TP + FP + FN) over all thresholds of "score >= threshold"."""
    hits, alarms = ranking.true_positives[1::2], ranking.false_positives[1::2]
    return _best(2 * hits / (hits + alarms + ranking.num_positives), ranking.thresholds)


def iou_max(ranking: Ranking) -> Best:
    """The highest intersection over union, TP / (TP + FP + FN), over all thresholds."""
    hits, alarms = ranking.true_positives[1::2], ranking.false_positives[1::2]
    return _best(hits / (alarms + ranking.num_positives), ranking.thresholds)


def area_under(x: np.ndarray, y: np.ndarray, *, limit: float) -> float:
    """Area under the broken line through (x, y), x ascending, from x[0] to `limit` <= x[-1].

    The piece that crosses the limit is cut there by linear interpolation.
    """
    end = int(np.searchsorted(x, limit, side="right"))
    area = np.sum(np.diff(x[:end]) * (y[1:end] + y[: end - 1])) / 2
    if end < x.size:
        width = limit - x[end - 1]
        slope = (y[end] - y[end - 1]) / (x[end] - x[end - 1])
        area += width * (y[end - 1] + slope * width / 2)
    return float(area)


def _before_and_after(counts: np.ndarray) -> np.ndarray:
    """(t,) running totals at each threshold -> (2t,) totals just above it and at it."""
    return np.repeat(np.append(0.0, counts), 2)[1:-1]


def _mixed_precision(
    hits_0: np.ndarray, hits_1: np.ndarray, alarms_0: np.ndarray, alarms_1: np.ndarray
) -> np.ndarray:
    """Integral of precision over hits from hits_0 to hits_1 > hits_0, alarms growing in proportion.

    With alarms = c + k hits, precision is hits / (c + (1 + k) hits).
    """
    k = (alarms_1 - alarms_0) / (hits_1 - hits_0)
    c = alarms_0 - k * hits_0
    found_0, found_1 = hits_0 + alarms_0, hits_1 + alarms_1
    growth = np.divide(found_1, found_0, out=np.ones_like(found_1), where=found_0 > 0)
    return (hits_1 - hits_0) / (1 + k) - c / (1 + k) ** 2 * np.log(growth)


def _best(values: np.ndarray, thresholds: np.ndarray) -> Best:
    index = int(np.argmax(values))
    return Best(value=float(values[index]), threshold=float(thresholds[index]))


def _blocks(arrays: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Copies of the values in blocks of about `BLOCK_VALUES`; long arrays (memory maps) are cut."""
    waiting: list[np.ndarray] = []
    num_waiting = 0
    for array in arrays:
        for start in range(0, array.size, BLOCK_VALUES):
            waiting.append(array[start : start + BLOCK_VALUES])
            num_waiting += waiting[-1].size
            if num_waiting >= BLOCK_VALUES:
                yield np.concatenate(waiting)
                waiting, num_waiting = [], 0
    if waiting:
        yield np.concatenate(waiting)
