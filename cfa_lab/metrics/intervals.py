"""Intervals over test images: how far a metric may lie from its value on all images of that kind.

All stand on the logit scale, on which values near 1 have room, and take their variance from leaving
out images, normal and defect ones apart (the jackknife; for AUROC that is DeLong's variance). Few
images say little of how they vary, least of all where nearly every one is found. So some images'
worth (`PRIOR_IMAGES`) of the variance that an AUROC of that height has under the model of Hanley
and McNeil (1982) is mixed in, made symmetric as Newcombe (2006) does.

Quantiles are Student's t with Welch's degrees of freedom. Where two or three images make most of
the variance, it is known less well than their number says: AUROC, a mean over images, takes as many
degrees of freedom as their kurtosis leaves (O'Neill 2014). Where every defect image lies above
every normal one the lower bound is Newcombe's (method 5), for AP and F1max by way of two normal
distributions that far apart. F1max is the best of what the images themselves offer, so it is high
by chance; its interval is for the F1max of all such images, with the test set's share of defects,
and centred where draws of the test set say that it lies. `python -m cfa_lab bench intervals`
measures how often intervals hold.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cfa_lab.metrics.families import LIMITED, LIMITED_BY_KIND, OF_RANKING
from cfa_lab.metrics.jackknife import LeftOut, leave_out, on_logit_scale, quantile, variance_of
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
from cfa_lab.metrics.separated import lowest_auroc, with_auroc

NUM_RESAMPLES, CONFIDENCE, NUM_THRESHOLDS = 1000, 0.95, 1000  # unless asked for otherwise
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
            is_auroc=name == "pixel_auroc",
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
    lowest = lowest_auroc(num_normal, num_defect, confidence)
    if values["image_auroc"] > 1 - ROUNDING:
        like = with_auroc(lowest, num_normal, num_defect)
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
        variance, freedom = variance_of(
            (left - whole) / (value * (1 - value)),
            left_out,
            value,
            prior,
            by_kurtosis=name == "image_auroc",
        )
        half = quantile(confidence, freedom) * variance**0.5
        low, high = on_logit_scale(centre, half)
        found[name] = Interval(max(low, least), max(high, value))
    return found


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
    is_auroc: bool,
) -> Interval:
    """From a pixel metric's values with images left out (g,); `whole` is the same with none."""
    if not ROUNDING < value < 1 - ROUNDING:
        return none(f"the value is {value:.0f}: nothing says how far from it others may lie")
    if np.isnan(left).any():
        return none("one image holds all defects: nothing says how much such images vary")
    odds = np.log(np.clip([whole, *left], ROUNDING, 1 - ROUNDING))
    odds -= np.log1p(-np.clip([whole, *left], ROUNDING, 1 - ROUNDING))
    changes = np.clip(odds[1:] - odds[0], -MOST_CHANGE, MOST_CHANGE)
    variance, freedom = variance_of(
        changes, left_out, value, PRIOR_IMAGES["pixel"], by_kurtosis=is_auroc
    )
    bias = 0.0
    if not is_optimistic:  # of a maximum, the jackknife's bias is mostly noise
        for rows in left_out.by_class(changes).values():
            bias += (rows.size - 1) * float(rows.mean()) if rows.size else 0.0
    half = quantile(confidence, freedom) * variance**0.5
    low, high = on_logit_scale(value, half, shift=-bias)
    return Interval(min(low, value), max(high, value))
