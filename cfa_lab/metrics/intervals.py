"""Intervals over test images: how far a metric may lie from its value on all images of that kind.

All stand on the logit scale, on which values near 1 have room, and take their variance from leaving
out images, normal and defect ones apart (the jackknife; for AUROC that is DeLong's variance). Few
images say little of how they vary, least of all where nearly every one is found. So some images'
worth (`PRIOR_IMAGES`) of the variance that an AUROC of that height has under the model of Hanley
and McNeil (1982) is mixed in, made symmetric as Newcombe (2006) does.

Image AUROC takes normal quantiles, as DeLong's interval does, the others Student's t with Welch's
degrees of freedom. Where every defect image lies above every normal one the lower bound is
Newcombe's (method 5), for AP and F1max by way of two normal distributions that far apart. F1max is
the best of what the images themselves offer, so it is high by chance; its interval is for the F1max
of all such images, with the test set's share of defects, and centred where draws of the test set
say that it lies. `python -m cfa_lab bench intervals` measures how often intervals hold.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cfa_lab.metrics.families import LIMITED, LIMITED_BY_KIND, OF_RANKING
from cfa_lab.metrics.names import at_limit
from cfa_lab.metrics.pixels import ImagePixels
from cfa_lab.metrics.ranking import Ranking
from cfa_lab.metrics.resampling import (
    KindsOfDefects,
    count_per_image,
    count_scores,
    draw_times,
    spread_thresholds,
)

NUM_RESAMPLES, CONFIDENCE, NUM_THRESHOLDS = 1000, 0.95, 1000  # unless asked for otherwise
MOST_GROUPS = 100
"""Groups of images left out in turn, of each class; of more images each group has several."""
PRIOR_IMAGES = {"image_auroc": 5.0, "image": 2.0, "pixel": 0.75}
"""Images' worth of the model's variance; pixel metrics vary less than image metrics do."""
MOST_CHANGE = math.log(100)
"""Of the log odds by leaving out a group: where it is all that is wrong, they would be infinite."""

ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """Bounds of a metric; NaN, with the reason in `why`, where there are none."""

    low: float
    high: float
    why: str = ""


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


def intervals(
    images: Iterable[ImagePixels],
    labels: np.ndarray,
    scores: np.ndarray,
    values: Mapping[str, float],
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
    """The interval of every metric of `values`, by name.

    `labels` (n,) 0 or 1 and `scores` (n,) are those of `images`, in order; `image` and `pixel` are
    the rankings of all scores and of all pixels, None if undefined; `defects` is given where there
    is sPRO. `num_resamples` draws of the test set say how high F1max is by chance. Memory: 48 bytes
    x num_thresholds x n.
    """
    found = dict.fromkeys(values, none("the metric has no value"))
    if image is not None:
        found |= image_intervals(
            image,
            labels,
            scores,
            num_resamples=num_resamples,
            confidence=confidence,
            num_thresholds=num_thresholds,
            seed=seed,
        )
    if pixel is None:
        return found
    counts = count_per_image(images, spread_thresholds(pixel, num=num_thresholds))
    left_out = leave_out(labels, counts.num_negatives + counts.num_positives > 0)
    if isinstance(left_out, str):
        return found | {name: none(left_out) for name in values if not name.startswith("image_")}
    rows = counts.without(left_out.all_groups())
    measures = {f"pixel_{name}": metric.values(rows) for name, metric in OF_RANKING.items()}
    for name, metric in LIMITED.items():
        for limit in aupro_limits:
            measures[at_limit(name, limit)] = metric.values(rows, limit=limit)
    if by_kind := defects.without(left_out.all_groups(), num=num_thresholds) if defects else []:
        for name, metric in LIMITED_BY_KIND.items():
            for limit in aupro_limits:
                measures[at_limit(name, limit)] = metric.values(by_kind, limit=limit)
    optimistic = {f"pixel_{name}" for name, metric in OF_RANKING.items() if metric.is_optimistic}
    for name, (whole, *left) in measures.items():
        found[name] = _of_pixels(
            values[name],
            whole,
            np.array(left),
            left_out,
            confidence=confidence,
            is_optimistic=name in optimistic,
        )
    return found


def image_intervals(
    ranking: Ranking,
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = CONFIDENCE,
    num_thresholds: int = NUM_THRESHOLDS,
    seed: int = 0,
) -> dict[str, Interval]:
    """The intervals of the image metrics alone; the arguments are those of `intervals`."""
    names = {f"image_{name}": metric for name, metric in OF_RANKING.items()}
    left_out = leave_out(labels, np.ones(labels.size, dtype=bool))
    if isinstance(left_out, str):
        return dict.fromkeys(names, none(left_out))
    values = {name: metric.value(ranking) for name, metric in names.items()}
    num_normal, num_defect = left_out.num_images[0], left_out.num_images[1]
    lowest = _lowest_auroc(num_normal, num_defect, confidence)
    if values["image_auroc"] > 1 - ROUNDING:
        like = _with_auroc(lowest, num_normal, num_defect)
        bounds = {name: Interval(metric.value(like), 1.0) for name, metric in names.items()}
        return bounds | {"image_auroc": Interval(lowest, 1.0)}
    counts = count_scores(scores, labels, spread_thresholds(ranking, num=num_thresholds))
    rows = counts.without(left_out.all_groups())
    measures = {name: metric.values(rows) for name, metric in names.items()}
    draws = counts.summed(draw_times(labels, num_resamples=num_resamples, seed=seed))
    drawn = {name: m.values(draws).mean() for name, m in names.items() if m.is_optimistic}
    found = {}
    for name, value in values.items():
        centre, least = value, 0.0
        if name in drawn:
            least = 2 * num_defect / (2 * num_defect + num_normal)  # calling all of them defect
            centre = min(max(2 * value - float(drawn[name]), least), value)
        if not ROUNDING < value < 1 - ROUNDING:  # AUROC 0
            found[name] = Interval(0.0, 1.0 - lowest)
            continue
        whole, left = measures[name][0], measures[name][1:]
        prior = PRIOR_IMAGES.get(name, PRIOR_IMAGES["image"])
        variance, freedom = _variance(
            (left - whole) / (value * (1 - value)), left_out, value, prior
        )
        half = _quantile(confidence, None if name == "image_auroc" else freedom) * variance**0.5
        low, high = _on_logit_scale(centre, half)
        found[name] = Interval(max(low, least), max(high, value))
    return found


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


def none(why: str) -> Interval:
    """No interval, for this reason."""
    return Interval(math.nan, math.nan, why)


def _of_pixels(
    value: float,
    whole: float,
    left: np.ndarray,
    left_out: LeftOut,
    *,
    confidence: float,
    is_optimistic: bool,
) -> Interval:
    """From a pixel metric's values with images left out (g,); `whole` is the same with none."""
    if not ROUNDING < value < 1 - ROUNDING:
        return none(f"the value is {value:.0f}: nothing says how far from it others may lie")
    if np.isnan(left).any():
        return none("one image holds all defects: nothing says how much such images vary")
    odds = np.log(np.clip([whole, *left], ROUNDING, 1 - ROUNDING))
    odds -= np.log1p(-np.clip([whole, *left], ROUNDING, 1 - ROUNDING))
    changes = np.clip(odds[1:] - odds[0], -MOST_CHANGE, MOST_CHANGE)
    variance, freedom = _variance(changes, left_out, value, PRIOR_IMAGES["pixel"])
    bias = 0.0
    if not is_optimistic:  # of a maximum, the jackknife's bias is mostly noise
        for rows in left_out.by_class(changes).values():
            bias += (rows.size - 1) * float(rows.mean()) if rows.size else 0.0
    half = _quantile(confidence, freedom) * variance**0.5
    low, high = _on_logit_scale(value, half, shift=-bias)
    return Interval(min(low, value), max(high, value))


def _variance(
    changes: np.ndarray, left_out: LeftOut, value: float, prior: float
) -> tuple[float, float]:
    """Of the log odds of a metric, with its degrees of freedom (Satterthwaite).

    `changes` (g,) are those of the log odds as images are left out, `prior` the images' worth of
    the model's variance.
    """
    model = _model_variance(value) / (value * (1 - value)) ** 2
    parts = []
    for label, rows in left_out.by_class(changes).items():
        if rows.size:
            num_images = left_out.num_images[label]
            jackknife = (rows.size - 1) / rows.size * float(np.sum((rows - rows.mean()) ** 2))
            mixed = (num_images**2 * jackknife + prior * model) / (num_images + prior)
            parts.append((mixed / num_images, rows.size - 1))
    total = sum(part for part, _ in parts)
    return total, total**2 / sum(part**2 / freedom for part, freedom in parts)


def _model_variance(auroc: float) -> float:
    """An image's part in the variance of an AUROC, the mean of both classes (Hanley, McNeil)."""
    return (auroc / (2 - auroc) + 2 * auroc**2 / (1 + auroc)) / 2 - auroc**2


def _lowest_auroc(num_normal: int, num_defect: int, confidence: float) -> float:
    """The lower bound of an AUROC that is 1: where 1 would be just within reach (Newcombe)."""
    mean_size = (num_normal + num_defect) / 2
    reach = _quantile(confidence, None) ** 2 / (num_normal * num_defect)
    low, high = 0.0, 1.0
    for _ in range(60):
        auroc = (low + high) / 2
        one = auroc * (1 - auroc) + 2 * (mean_size - 1) * _model_variance(auroc)
        low, high = (low, auroc) if (1 - auroc) ** 2 < reach * one else (auroc, high)
    return low


def _with_auroc(auroc: float, num_normal: int, num_defect: int) -> Ranking:
    """The ranking of two normal distributions of this AUROC, mixed as so many images of each."""
    from scipy.special import ndtr, ndtri

    distance = math.sqrt(2) * float(ndtri(auroc))
    thresholds = np.linspace(distance + 8, min(distance, 0.0) - 8, 4001)
    hits = np.repeat(num_defect * ndtr(distance - thresholds), 2)
    alarms = np.repeat(num_normal * ndtr(-thresholds), 2)
    return Ranking(thresholds, alarms, hits, hits, num_normal, num_defect, num_regions=num_defect)


def _on_logit_scale(value: float, half: float, *, shift: float = 0.0) -> tuple[float, float]:
    from scipy.special import expit, logit

    middle = logit(value) + shift
    return float(expit(middle - half)), float(expit(middle + half))


def _quantile(confidence: float, freedom: float | None) -> float:
    """Of the normal distribution, or of Student's t with these degrees of freedom, two-sided."""
    from scipy.special import ndtri, stdtrit

    upper = 0.5 + confidence / 2
    return float(ndtri(upper) if freedom is None else stdtrit(freedom, upper))
