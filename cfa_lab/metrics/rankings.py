"""The ranking metrics of many rankings at once: one test set with its images weighted in many ways.

Each function is its namesake in `ranking` or `regions`, a row for a ranking; a test compares them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROUNDING = 1e-12


@dataclass(frozen=True)
class Rankings:
    """r rankings at shared thresholds: the arrays of `Ranking`, each with a row (2t,) per ranking.

    The numbers are (r,). A row without positives or negatives has no metrics: they are NaN.
    """

    false_positives: np.ndarray
    true_positives: np.ndarray
    coverage: np.ndarray
    num_negatives: np.ndarray
    num_positives: np.ndarray
    num_regions: np.ndarray


def aurocs(rankings: Rankings) -> np.ndarray:
    """Area under each ROC curve (r,)."""
    x = _with_ends(rankings.false_positives, rankings.num_negatives)
    y = _with_ends(rankings.true_positives, rankings.num_positives)
    area = np.sum(np.diff(x) * (y[:, 1:] + y[:, :-1]), axis=1) / 2
    return _quotient(area, rankings.num_negatives * rankings.num_positives)


def average_precisions(rankings: Rankings) -> np.ndarray:
    """Average precision of each (r,); see `ranking.average_precision` for what lies between."""
    above, reached = rankings.true_positives[:, 0::2], rankings.true_positives[:, 1::2]
    alarms_above, alarms = rankings.false_positives[:, 0::2], rankings.false_positives[:, 1::2]
    total = np.sum((reached - above) * reached / np.maximum(reached + alarms, 1e-300), axis=1)
    before, alarms_before = _shifted(reached), _shifted(alarms)
    gained = above - before
    gained[gained < ROUNDING * rankings.num_positives[:, None]] = 0.0  # of sums of weights
    if gained.any():
        more = np.maximum(alarms_above - alarms_before, 0.0)
        k = np.divide(more, gained, out=_zeros(gained), where=gained > 0)
        c = alarms_before - k * before
        found = before + alarms_before
        growth = np.divide(above + alarms_above, found, out=_zeros(found) + 1.0, where=found > 0)
        mixed = gained / (1 + k) - c / (1 + k) ** 2 * np.log(np.maximum(growth, 1.0))
        total += np.sum(np.where(gained > 0, mixed, 0.0), axis=1)
    return np.where(rankings.num_negatives > 0, _quotient(total, rankings.num_positives), np.nan)


def f1maxima(rankings: Rankings) -> np.ndarray:
    """The highest F1 of each over all thresholds (r,)."""
    hits, alarms = rankings.true_positives[:, 1::2], rankings.false_positives[:, 1::2]
    best = np.max(2 * hits / np.maximum(hits + alarms + rankings.num_positives[:, None], 1e-300), 1)
    is_defined = (rankings.num_negatives > 0) & (rankings.num_positives > 0)
    return np.where(is_defined, best, np.nan)


def aupros(rankings: Rankings, *, limit: float) -> np.ndarray:
    """Area under each per-region-overlap curve up to a false-positive rate, over that rate (r,)."""
    x = _with_ends(rankings.false_positives, rankings.num_negatives)
    y = _with_ends(rankings.coverage, rankings.num_regions)
    end = limit * rankings.num_negatives
    width = np.diff(x)
    used = np.clip(end[:, None] - x[:, :-1], 0.0, width)
    slope = np.divide(np.diff(y), width, out=_zeros(width), where=width > 0)
    area = np.sum(used * (y[:, :-1] + slope * used / 2), axis=1)
    return _quotient(area, end * rankings.num_regions)


def spros(by_kind: Sequence[Rankings], *, limit: float) -> np.ndarray:
    """sPRO of each (r,): the mean over the kinds of defect that the row has."""
    values = np.stack([aupros(rankings, limit=limit) for rankings in by_kind])
    present = ~np.isnan(values)
    return _quotient(np.where(present, values, 0.0).sum(axis=0), present.sum(axis=0))


def _with_ends(counts: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """(r, 2t) counts -> (r, 2t + 2), from 0 to the totals (r,)."""
    return np.concatenate((np.zeros((len(counts), 1)), counts, totals[:, None]), axis=1)


def _shifted(counts: np.ndarray) -> np.ndarray:
    """(r, t) counts at the threshold before; 0 before the first."""
    return np.concatenate((np.zeros((len(counts), 1)), counts[:, :-1]), axis=1)


def _zeros(like: np.ndarray) -> np.ndarray:
    return np.zeros(like.shape)


def _quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where below is 0."""
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
