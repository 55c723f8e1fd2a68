"""The parity gate: whether an exported file scores as its model does, shown on images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cfa_lab.data.images import LoadedImage
from cfa_lab.deploy.runtime import Runtime, Scored
from cfa_lab.errors import UserError

BOUND = 1e-4
"""The largest relative difference that a float32 export may show, of scores and of maps."""
FLOOR = 0.01
"""What a difference is relative to is at least this share of the largest among the images: one that
stands in the bank scores about 0, and nothing is small relative to that."""


@dataclass(frozen=True)
class Parity:
    """How far an export is from its model: the largest relative differences over images.

    `scores`: of a score, relative to it. `maps`: of a map's values, relative to the largest of that
    map.
    """

    scores: float
    maps: float
    num_images: int

    def __str__(self) -> str:
        return (
            f"scores differ by {self.scores:.1e}, maps by {self.maps:.1e} (largest relative "
            f"difference over {self.num_images} images)"
        )


def compare(
    original: Runtime, exported: Runtime, images: Sequence[Sequence[LoadedImage]]
) -> Parity:
    """Score images by both and compare, a few at a time: no more maps than these are held.

    Raises UserError where one of them gives no number.
    """
    pairs: list[tuple[float, float, float, float]] = []
    for start in range(0, len(images), original.batch_size):
        batch = images[start : start + original.batch_size]
        for ours, theirs in zip(original.score(batch), exported.score(batch), strict=True):
            pairs.append(_differences(ours, theirs))
    scores, maps, score_sizes, map_sizes = np.array(pairs).T
    return Parity(_relative(scores, score_sizes), _relative(maps, map_sizes), len(images))


def max_of(parities: Sequence[Parity]) -> Parity:
    """The larger differences of several sets of images."""
    return Parity(
        max(one.scores for one in parities),
        max(one.maps for one in parities),
        sum(one.num_images for one in parities),
    )


def refuse(parity: Parity, what: object, *, bound: float = BOUND) -> None:
    """Raise UserError where a difference is over the bound."""
    if not (parity.scores <= bound and parity.maps <= bound):  # NaN is refused, too
        raise UserError(
            f"{what} does not score as its model: {parity}, allowed: {bound:.0e}; nothing is kept"
        )


def refuse_loss(
    original: Mapping[str, float | None], exported: Mapping[str, float | None], most: float
) -> None:
    """Raise UserError where a metric of the test set fell by more than `most`."""
    lost = {
        name: value - now
        for name, value in original.items()
        if value is not None and (now := exported[name]) is not None
    }
    if lost and not (largest := max(lost.values())) <= most:
        name = max(lost, key=lost.__getitem__)
        raise UserError(
            f"the export loses {largest:.4f} of test/{name}, {original[name]:.4f} before; allowed: "
            f"{most:g} (--most-lost); nothing is kept"
        )


def _differences(ours: Scored, theirs: Scored) -> tuple[float, float, float, float]:
    """Of score and map, and the sizes they are relative to."""
    score = abs(ours.score - theirs.score)
    values = np.abs(ours.window_map - theirs.window_map).max()
    return score, float(values), abs(ours.score), float(np.abs(ours.window_map).max())


def _relative(differences: np.ndarray, sizes: np.ndarray) -> float:
    sizes = np.maximum(sizes, FLOOR * sizes.max())
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(differences == 0, 0.0, differences / sizes)
    return float(np.where(np.isnan(relative), np.inf, relative).max())
