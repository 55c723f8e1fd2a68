"""How good decisions at one fixed threshold are, for images or pixels."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cfa_lab.metrics.ranking import BLOCK_VALUES


@dataclass(frozen=True)
class Decisions:
    """Outcomes of "score >= threshold means defect"; rates are NaN where their class is empty."""

    true_positives: int
    false_positives: int
    num_positives: int
    num_negatives: int

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        found = self.true_positives + self.false_positives
        return _share(2 * self.true_positives, found + self.num_positives, self.num_positives)

    @property
    def false_positive_rate(self) -> float:
        """Share of the normal ones called defect."""
        return _share(self.false_positives, self.num_negatives, self.num_negatives)

    @property
    def miss_rate(self) -> float:
        """Share of the defect ones called normal."""
        missed = self.num_positives - self.true_positives
        return _share(missed, self.num_positives, self.num_positives)


def exact_interval(part: int, whole: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a share, exact (Clopper and Pearson); 0 to 1 where there is nothing to count.

    `part` of `whole` were counted. It covers the share at least as often as `confidence` says.
    """
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = betaincinv(part, whole - part + 1, tail) if part else 0.0
    high = betaincinv(part + 1, whole - part, 1 - tail) if part < whole else 1.0
    return float(low), float(high)


def decide(
    negatives: Iterable[np.ndarray], positives: Iterable[np.ndarray], *, threshold: float
) -> Decisions:
    """Count right and wrong decisions on normal and defect scores, both in chunks of any length."""
    false_positives, num_negatives = _count_from(negatives, threshold)
    true_positives, num_positives = _count_from(positives, threshold)
    return Decisions(true_positives, false_positives, num_positives, num_negatives)


def _count_from(chunks: Iterable[np.ndarray], threshold: float) -> tuple[int, int]:
    """How many values are >= threshold, and how many there are."""
    exceeding = total = 0
    for chunk in chunks:
        lowest = _ceiling(threshold, chunk.dtype)
        for start in range(0, chunk.size, BLOCK_VALUES):  # a chunk on disk may be long
            exceeding += int(np.count_nonzero(chunk[start : start + BLOCK_VALUES] >= lowest))
        total += chunk.size
    return exceeding, total


def _ceiling(threshold: float, dtype: np.dtype) -> np.generic:
    """The smallest number of the dtype that is not below the threshold.

    Comparing with it decides as the exact threshold does, where rounding could go the other way.
    """
    with np.errstate(over="ignore"):
        rounded = dtype.type(threshold)
        if float(rounded) < threshold:
            rounded = np.nextafter(rounded, dtype.type(np.inf))
    return rounded


def _share(part: int, whole: int, class_size: int) -> float:
    return part / whole if class_size else float("nan")
