"""Metrics of a test set whose images are weighted anew, from per-image counts instead of pixels.

A test set drawn anew with replacement, or with an image left out, is the old one with every image
counted some number of times, so its counts are sums of per-image counts.

The approximation: images are counted at no more than `num_thresholds` of the defect scores, spread
so that recall, overlap and false-positive rate move by about the same amount from one to the next;
in between, the ROC and PRO curves are straight lines. With no more distinct defect scores than that
(usual for image metrics) it is exact; the tests see errors of a few hundredths of the spread.
"""

from collections.abc import Iterable, Mapping, Sequence
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
        hits = times @ self.true_positives
        return Rankings(
            false_positives=times @ self.false_positives,
            true_positives=hits,
            coverage=hits if self.coverage is self.true_positives else times @ self.coverage,
            num_negatives=times @ self.num_negatives,
            num_positives=times @ self.num_positives,
            num_regions=times @ self.num_regions,
        )

    def with_unseen(self, labels: np.ndarray, num_images: Mapping[int, int]) -> "ImageCounts":
        """The images and four that none of them is: as large as the mean of their class.

        A normal one whose pixels score like defects, one whose pixels score like none, a defect one
        whose defects are wholly missed (they score like normal pixels), one wholly found. `labels`
        (n,) are the images', `num_images` how many of each class the means are of.
        """
        num_normal, num_defect = max(num_images[0], 1), max(num_images[1], 1)
        hits = self.true_positives.sum(axis=0) / max(self.num_positives.sum(), 1.0)
        alarms = self.false_positives.sum(axis=0) / max(self.num_negatives.sum(), 1.0)
        everything = np.ones_like(hits)
        at_the_end = np.repeat(np.isneginf(self.thresholds), 2).astype(np.float64)
        around = self.false_positives[labels == 1].sum(axis=0) / num_defect
        size = self.num_negatives[labels == 0].sum() / num_normal
        background = self.num_negatives[labels == 1].sum() / num_defect
        positives = self.num_positives.sum() / num_defect
        regions = self.num_regions.sum() / num_defect
        none = 0 * everything
        found = np.stack([none, none, positives * alarms, positives * everything])
        found = np.concatenate((self.true_positives, found))
        coverage = found
        if self.coverage is not self.true_positives:
            covered = np.stack([none, none, regions * alarms, regions * everything])
            coverage = np.concatenate((self.coverage, covered))
        called = np.stack([size * hits, size * at_the_end, around, around])
        negatives = [size, size, background, background]
        return ImageCounts(
            thresholds=self.thresholds,
            false_positives=np.concatenate((self.false_positives, called)),
            true_positives=found,
            coverage=coverage,
            num_negatives=np.append(self.num_negatives, negatives),
            num_positives=np.append(self.num_positives, [0, 0, positives, positives]),
            num_regions=np.append(self.num_regions, [0, 0, regions, regions]),
        )


@dataclass(frozen=True)
class KindsOfDefects:
    """What sPRO is drawn anew from: see `rank_by_kind`, whose arguments and result these are."""

    images: Sequence[ImagePixels]
    kinds: np.ndarray
    rankings: Mapping[int, Ranking]

    def summed(
        self, times: np.ndarray, labels: np.ndarray, num_images: Mapping[int, int], *, num: int
    ) -> list[Rankings]:
        """For each kind the rankings of the images and unseen ones counted `times` (r, n + 4).

        At `num` thresholds. As in the data set itself, a kind's images stand beside all normal
        ones; what is unseen is as much of each kind as the mean defect image is.
        """
        found = []
        for kind, whole in self.rankings.items():
            members = np.flatnonzero((self.kinds == 0) | (self.kinds == kind))
            images = (self.images[int(i)] for i in members)
            counts = count_per_image(images, spread_thresholds(whole, num=num))
            unseen = np.arange(labels.size, times.shape[1])
            extended = counts.with_unseen(labels[members], num_images)
            found.append(extended.summed(times[:, [*members, *unseen]]))
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
