"""Uncertainty: metrics of resampled test sets, from per-image counts instead of pixels.

A test set drawn anew with replacement is the old one with every image counted some number of times,
so all counts of a replicate are one product: (times,) @ (images, thresholds). Normal and defect
images are drawn separately, which keeps their numbers as they are.

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
from cfa_lab.metrics.summary import metric_names, metric_values

NUM_RESAMPLES, CONFIDENCE, NUM_THRESHOLDS = 1000, 0.95, 1000  # unless asked for otherwise


@dataclass(frozen=True)
class Interval:
    """Where a metric lies in most of the resampled test sets; NaN if it has no value."""

    low: float
    high: float


@dataclass(frozen=True)
class KindsOfDefects:
    """What sPRO is drawn anew from: see `rank_by_kind`, whose arguments and result these are."""

    images: Sequence[ImagePixels]
    kinds: np.ndarray
    rankings: Mapping[int, Ranking]

    def resampled(self, times: np.ndarray, *, num_thresholds: int) -> list[list[Ranking | None]]:
        """For each kind the ranking of every resample `times` (r, n), None where it was not drawn.

        As in the data set itself, a kind's images stand beside all normal ones.
        """
        drawn = []
        for kind, whole in self.rankings.items():
            members = np.flatnonzero((self.kinds == 0) | (self.kinds == kind))
            counts = count_per_image(
                (self.images[int(i)] for i in members), spread_thresholds(whole, num=num_thresholds)
            )
            drawn.append(resampled_rankings(counts, times[:, members]))
        return drawn


@dataclass(frozen=True)
class ImageCounts:
    """Every image's counts at shared thresholds (t,): a `Ranking` with a row (2t,) per image."""

    thresholds: np.ndarray
    false_positives: np.ndarray
    true_positives: np.ndarray
    coverage: np.ndarray
    num_negatives: np.ndarray
    num_positives: np.ndarray
    num_regions: np.ndarray


def bootstrap_intervals(
    images: Iterable[ImagePixels],
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    image: Ranking | None,
    pixel: Ranking | None,
    aupro_limits: Sequence[float],
    defects: KindsOfDefects | None = None,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = CONFIDENCE,
    num_thresholds: int = NUM_THRESHOLDS,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile interval of every metric over `num_resamples` stratified resamples of the images.

    `labels` (n,) 0 or 1 and `scores` (n,) are those of `images`, in order; `image` and `pixel` are
    the rankings of all scores and of all pixels, None if undefined; `defects` is given where there
    is sPRO. Memory: 48 bytes x num_thresholds x (n + num_resamples).
    """
    replicates = bootstrap_replicates(
        images,
        labels,
        scores,
        image=image,
        pixel=pixel,
        aupro_limits=aupro_limits,
        defects=defects,
        times=draw_times(labels, num_resamples=num_resamples, seed=seed),
        num_thresholds=num_thresholds,
    )
    tails = (0.5 - confidence / 2, 0.5 + confidence / 2)
    intervals = {}
    for name, values in replicates.items():
        defined = values[~np.isnan(values)]
        low, high = np.quantile(defined, tails) if defined.size else (np.nan, np.nan)
        intervals[name] = Interval(low=float(low), high=float(high))
    return intervals


def draw_times(labels: np.ndarray, *, num_resamples: int, seed: int) -> np.ndarray:
    """How often each image is in each resample (r, n): drawn with replacement within its label."""
    generator = np.random.default_rng(seed)
    times = np.zeros((num_resamples, labels.size))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        even = np.full(members.size, 1.0 / members.size)
        times[:, members] = generator.multinomial(members.size, even, size=num_resamples)
    return times


def bootstrap_replicates(
    images: Iterable[ImagePixels],
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    image: Ranking | None,
    pixel: Ranking | None,
    aupro_limits: Sequence[float],
    defects: KindsOfDefects | None = None,
    times: np.ndarray,
    num_thresholds: int,
) -> dict[str, np.ndarray]:
    """Every metric in every resample (r,), NaN where one class was not drawn. `times` (r, n)."""
    one_pixel_images = map(_score_as_pixel, scores, labels)
    rankings = [
        [None] * len(times)
        if whole is None
        else resampled_rankings(
            count_per_image(parts, spread_thresholds(whole, num=num_thresholds)), times
        )
        for whole, parts in ((image, one_pixel_images), (pixel, images))
    ]
    if defects is not None:
        rankings += defects.resampled(times, num_thresholds=num_thresholds)
    rows = [
        metric_values(
            image_ranking,
            pixel_ranking,
            aupro_limits=aupro_limits,
            by_kind=None if defects is None else [r for r in by_kind if r is not None],
        )
        for image_ranking, pixel_ranking, *by_kind in zip(*rankings, strict=True)
    ]
    names = metric_names(aupro_limits, with_spro=defects is not None)
    return {name: np.array([row[name] for row in rows]) for name in names}


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
        num_regions=np.array([row.num_regions for row in rows]),
    )


def resampled_rankings(counts: ImageCounts, times: np.ndarray) -> list[Ranking | None]:
    """The ranking of every resample `times` (r, n); None where it holds only one class."""
    false_positives = times @ counts.false_positives  # (r, 2t)
    true_positives = times @ counts.true_positives
    coverage = times @ counts.coverage
    num_negatives = times @ counts.num_negatives  # (r,)
    num_positives = times @ counts.num_positives
    num_regions = times @ counts.num_regions
    return [
        Ranking(
            thresholds=counts.thresholds,
            false_positives=false_positives[row],
            true_positives=true_positives[row],
            coverage=coverage[row],
            num_negatives=num_negatives[row],
            num_positives=num_positives[row],
            num_regions=num_regions[row],
        )
        if num_negatives[row] and num_positives[row]
        else None
        for row in range(len(times))
    ]


def _score_as_pixel(score: float, label: int) -> ImagePixels:
    """An image score as an image of one pixel: image metrics are counted like pixel metrics."""
    value, nothing = np.array([score]), np.zeros(0)
    one = np.ones(1, dtype=np.int32)
    if label:
        return ImagePixels(nothing, value, one, num_regions=1)
    return ImagePixels(value, nothing, one[:0], num_regions=0)
