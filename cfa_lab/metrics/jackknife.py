"""How a metric varies with the images it is of: from leaving them out in turn, and from a model."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MOST_GROUPS = 100
"""Groups of images left out in turn, of each class; of more images each group has several."""


@dataclass(frozen=True)
class LeftOut:
    """Groups of images to leave out in turn, and how many images there are, of each class.

    Class 0 is normal, 1 defect; a group holds the places of its images.
    """

    groups: Mapping[int, list[np.ndarray]]
    num_images: Mapping[int, int]

    def all_groups(self) -> list[np.ndarray]:
        """Nobody, for the set as it is, and then every group."""
        return [np.zeros(0, dtype=int), *(g for groups in self.groups.values() for g in groups)]

    def by_class(self, rows: np.ndarray) -> dict[int, np.ndarray]:
        """The rows (g,) of all groups, of each class."""
        return {0: rows[: len(self.groups[0])], 1: rows[len(self.groups[0]) :]}


def leave_out(labels: np.ndarray, counts_at_all: np.ndarray) -> LeftOut | str:
    """Every image of `counts_at_all` (n,) left out in turn, or why that says nothing.

    An image that has no part in a metric (no mask) is no image of it.
    """
    groups, num_images = {}, {}
    for label, word in ((0, "normal"), (1, "defect")):
        members = np.flatnonzero((labels == label) & counts_at_all)
        if members.size == 1:
            return f"one {word} image: nothing says how much such images vary"
        num_images[label] = members.size
        num_groups = min(members.size, MOST_GROUPS)
        groups[label] = [members[start::num_groups] for start in range(num_groups)]
    return LeftOut(groups, num_images)


def variance_of(
    changes: np.ndarray,
    left_out: LeftOut,
    value: float,
    prior: float,
    *,
    by_kurtosis: bool = False,
) -> tuple[float, float]:
    """Of the log odds of a metric, with its degrees of freedom (Satterthwaite).

    `changes` (g,) are those of the log odds as images are left out, `prior` the images' worth of
    the model's variance. A variance's own degrees of freedom are one less than there are images,
    or, `by_kurtosis`, fewer where few images make most of it (O'Neill 2014).
    """
    model = model_variance(value) / (value * (1 - value)) ** 2
    parts = []
    for label, rows in left_out.by_class(changes).items():
        if rows.size:
            num_images = left_out.num_images[label]
            jackknife = (rows.size - 1) / rows.size * float(np.sum((rows - rows.mean()) ** 2))
            mixed = (num_images**2 * jackknife + prior * model) / (num_images + prior)
            freedom = _freedom_of(rows) if by_kurtosis else rows.size - 1
            parts.append((mixed / num_images, freedom))
    total = sum(part for part, _ in parts)
    return total, total**2 / sum(part**2 / freedom for part, freedom in parts)


def model_variance(auroc: float) -> float:
    """An image's part in the variance of an AUROC, the mean of both classes (Hanley, McNeil)."""
    return (auroc / (2 - auroc) + 2 * auroc**2 / (1 + auroc)) / 2 - auroc**2


def _freedom_of(rows: np.ndarray) -> float:
    """Of the variance of some values: as many as normal ones would need to tell it as well."""
    squares = (rows - rows.mean()) ** 2
    if not squares.any():
        return rows.size - 1.0
    count, kurtosis = rows.size, float((squares**2).mean() / squares.mean() ** 2)
    return min(count - 1.0, 2 * count / (kurtosis - (count - 3) / (count - 1)))


def on_logit_scale(value: float, half: float, *, shift: float = 0.0) -> tuple[float, float]:
    """Bounds so far from a value in 0..1, shifted, on that scale."""
    from scipy.special import expit, logit

    middle = logit(value) + shift
    return float(expit(middle - half)), float(expit(middle + half))


def quantile(confidence: float, freedom: float | None) -> float:
    """Of the normal distribution, or of Student's t with these degrees of freedom, two-sided."""
    from scipy.special import ndtri, stdtrit

    upper = 0.5 + confidence / 2
    return float(ndtri(upper) if freedom is None else stdtrit(freedom, upper))
