"""What a threshold does to the test set, and to one image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cfa_lab.metrics.decisions import decide


@dataclass(frozen=True)
class Tally:
    """Outcomes of "score >= threshold means defect"."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


class TestScores:
    """The scores of a run's test images, to be counted at any threshold."""

    __test__ = False
    """It is no test of ours."""

    def __init__(self, predictions: Sequence[Mapping[str, Any]]):
        scores = np.array([row["score"] for row in predictions], dtype=np.float64)
        labels = np.array([row["label"] for row in predictions], dtype=int)
        self._normal, self._defect = scores[labels == 0], scores[labels == 1]

    def __len__(self) -> int:
        return len(self._normal) + len(self._defect)

    @property
    def extent(self) -> tuple[float, float] | None:
        """The lowest and the highest score; None where there is none."""
        scores = np.concatenate([self._normal, self._defect])
        return (float(scores.min()), float(scores.max())) if len(scores) else None

    def at(self, threshold: float) -> Tally:
        """The images by what they are and what they are called."""
        return tally(self._normal, self._defect, threshold)


def tally(normal: np.ndarray, defect: np.ndarray, threshold: float) -> Tally:
    """Count normal and defect scores, (n,) each, of images or pixels."""
    found = decide([normal], [defect], threshold=threshold)
    return Tally(
        true_positives=found.true_positives,
        false_positives=found.false_positives,
        false_negatives=found.num_positives - found.true_positives,
        true_negatives=found.num_negatives - found.false_positives,
    )


def tally_pixels(heat: np.ndarray, mask: np.ndarray, threshold: float) -> Tally:
    """Count the pixels of one image, map (H, W) with NaN outside the window and mask (H, W)."""
    scored = np.isfinite(heat)
    return tally(heat[scored & ~mask], heat[scored & mask], threshold)
