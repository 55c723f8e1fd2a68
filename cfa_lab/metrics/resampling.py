"""Metrics of a test set whose images are weighted anew, from per-image counts instead of pixels.

A test set drawn anew with replacement, or with an image left out, is the old one with every image
counted some number of times, so its counts are sums of per-image counts.

The approximation: images are counted at no more than `num_thresholds` of the defect scores, spread
so that recall, overlap and false-positive rate move by about the same amount from one to the next;
in between, the ROC and PRO curves are straight lines. With no more distinct defect scores than that
(usual for image metrics) it is exact; the tests see errors of a few hundredths of the spread.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cfa_lab.metrics.pixels import ImagePixels
from cfa_lab.metrics.ranking import Ranking, rank_at
from cfa_lab.metrics.rankings import Rankings


@dataclass(frozen=True)
class ImageCounts(Rankings):
    """Every image's counts at shared thresholds (t,): a row per image."""

    thresholds: np.ndarray

    def summed(self, times: np.ndarray) -> Rankings:
        """The rankings of the set with its images counted `times` (r, n)."""
        return self._changed(lambda counts: times @ counts)

    def without(self, groups: Sequence[np.ndarray]) -> Rankings:
        """The rankings of the set without the images of each group: their places, (m,) each.

        An empty group leaves out nothing.
        """
        return self._changed(
            lambda counts: counts.sum(axis=0) - np.stack([counts[g].sum(axis=0) for g in groups])
        )

    def _changed(self, change: Callable[[np.ndarray], np.ndarray]) -> Rankings:
        hits = change(self.true_positives)
        return Rankings(
            false_positives=change(self.false_positives),
            true_positives=hits,
            coverage=hits if self.coverage is self.true_positives else change(self.coverage),
            num_negatives=change(self.num_negatives),
            num_positives=change(self.num_positives),
            num_regions=change(self.num_regions),
        )


@dataclass(frozen=True)
class KindsOfDefects:
    """What sPRO is drawn anew from: see `rank_by_kind`, whose arguments and result these are."""

    images: Sequence[ImagePixels]
    kinds: np.ndarray
    rankings: Mapping[int, Ranking]

    def without(self, groups: Sequence[np.ndarray], *, num: int) -> list[Rankings]:
        """For each kind the rankings without the images of each group, at `num` thresholds.

        As in the data set itself, a kind's images stand beside all normal ones.
        """
        found = []
        for kind, whole in self.rankings.items():
            members = np.flatnonzero((self.kinds == 0) | (self.kinds == kind))
            images = (self.images[int(i)] for i in members)
            counts = count_per_image(images, spread_thresholds(whole, num=num))
            place = np.full(self.kinds.size, -1)
            place[members] = np.arange(members.size)
            found.append(counts.without([place[g][place[g] >= 0] for g in groups]))
        return found


def draw_times(labels: np.ndarray, *, num_resamples: int, seed: int) -> np.ndarray:
    """How often each image is in each resample (r, n): drawn with replacement within its label."""
    generator = np.random.default_rng(seed)
    times = np.zeros((num_resamples, labels.size))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        even = np.full(members.size, 1.0 / members.size)
        times[:, members] = generator.multinomial(members.size, even, size=num_resamples)
    return times


def spread_thresholds(ranking: Ranking, *, num: int) -> np.ndarray:
    """At most `num` of a ranking's thresholds, descending, an even stretch of its curves apart.

    The log of the false positives counts too: AP, F1max and AUPRO at small limits are decided where
    they are few.
    """
    if ranking.thresholds.size <= num:
        return ranking.thresholds
    alarms = ranking.false_positives[1::2]
    progress = (
        ranking.true_positives[1::2] / ranking.num_positives
        + ranking.coverage[1::2] / max(ranking.num_regions, 1.0)
        + alarms / ranking.num_negatives
        + np.log1p(alarms) / np.log1p(ranking.num_negatives)
    )
    stops = np.linspace(progress[0], progress[-1], num)
    return ranking.thresholds[np.unique(np.searchsorted(progress, stops))]


def count_per_image(images: Iterable[ImagePixels], thresholds: np.ndarray) -> ImageCounts:
    """Count each image's pixels around the shared thresholds (t,), which descend."""
    rows = [
        rank_at(
            thresholds,
            [image.negatives],
            image.positives,
            weights=image.weights,
            num_regions=image.num_regions,
        )
        for image in images
    ]
    return ImageCounts(
        thresholds=thresholds,
        false_positives=np.stack([row.false_positives for row in rows]),
        true_positives=np.stack([row.true_positives for row in rows]),
        coverage=np.stack([row.coverage for row in rows]),
        num_negatives=np.array([row.num_negatives for row in rows]),
        num_positives=np.array([row.num_positives for row in rows]),
        num_regions=np.array([row.num_regions for row in rows], dtype=np.float64),
    )


def count_scores(scores: np.ndarray, labels: np.ndarray, thresholds: np.ndarray) -> ImageCounts:
    """Image scores (n,) as images of one pixel: image metrics are counted like pixel metrics."""
    reached = np.repeat(scores[:, None] > thresholds, 2, axis=1)  # (n, 2t)
    reached[:, 1::2] = scores[:, None] >= thresholds
    is_defect = labels == 1
    hits = (reached & is_defect[:, None]).astype(np.float64)
    return ImageCounts(
        thresholds=thresholds,
        false_positives=(reached & ~is_defect[:, None]).astype(np.float64),
        true_positives=hits,
        coverage=hits,
        num_negatives=(~is_defect).astype(np.float64),
        num_positives=is_defect.astype(np.float64),
        num_regions=is_defect.astype(np.float64),
    )
