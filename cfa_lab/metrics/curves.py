"""ROC, precision-recall and PRO curves, thinned for drawing."""

import numpy as np

from cfa_lab.metrics.ranking import Ranking

MAX_POINTS = 1000

Curve = tuple[np.ndarray, np.ndarray]


def roc_curve(ranking: Ranking | None) -> Curve:
    """False-positive rate and true-positive rate, from (0, 0) to (1, 1); empty if undefined."""
    if ranking is None:
        return np.zeros(0), np.zeros(0)
    return _rate_curve(ranking, ranking.true_positives / ranking.num_positives)


def pro_curve(ranking: Ranking | None) -> Curve:
    """False-positive rate and mean region overlap, from (0, 0) to (1, 1); empty if undefined."""
    if ranking is None:
        return np.zeros(0), np.zeros(0)
    return _rate_curve(ranking, ranking.coverage / ranking.num_regions)


def pr_curve(ranking: Ranking | None) -> Curve:
    """Recall, ascending, and precision at every threshold; empty if undefined.

    The first point repeats the highest threshold's precision at recall 0; average precision is the
    area of steps that hold each precision back to the recall before it.
    """
    if ranking is None:
        return np.zeros(0), np.zeros(0)
    hits, alarms = ranking.true_positives[1::2], ranking.false_positives[1::2]
    precision = hits / (hits + alarms)
    return _thin(np.append(0.0, hits / ranking.num_positives), np.append(precision[:1], precision))


def _rate_curve(ranking: Ranking, height: np.ndarray) -> Curve:
    rate = ranking.false_positives / ranking.num_negatives
    return _thin(np.concatenate(([0.0], rate, [1.0])), np.concatenate(([0.0], height, [1.0])))


def _thin(x: np.ndarray, y: np.ndarray) -> Curve:
    """At most `MAX_POINTS` of the points, both ends included, evenly far apart along the curve."""
    if x.size <= MAX_POINTS:
        return x, y
    length = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    stops = np.linspace(0.0, length[-1], MAX_POINTS)
    kept = np.unique(np.searchsorted(length, stops).clip(max=x.size - 1))
    kept[-1] = x.size - 1
    return x[kept], y[kept]
