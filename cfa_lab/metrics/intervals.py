"""Intervals over test images: how far a metric may lie from its value on all images of that kind.

Their bounds are quantiles of what the metric would be with other weights of the images (the
Bayesian bootstrap, Rubin 1981) and with part of an image of each class that is wholly missed and of
one that is wholly found, as Jeffreys' interval for a share adds half a success and half a failure
(`weights.py`). So a test set all of whose defects are found, or all but one of sixty, allows for
those that it does not show, and bounds stay where metrics do.

Image AUROC and AP are computed of every draw. F1max and the pixel metrics are to first order, from
leaving out images and adding the unseen ones: the draws of a maximum say little of it, and those of
pixels cost much. AP, in which every found image counts itself, and F1max, the best of what the
images themselves offer, are high by chance. Draws of the test set show about half of that, hence
the lower bound yields twice what they show, the upper one of F1max once, of AP not at all. The
other pixel metrics are freed of the bias that leaving out shows. The intervals of image metrics are
for the value of all such images at the test set's share of defects. `python -m cfa_lab bench
intervals` measures how often intervals hold.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cfa_lab.metrics.families import LIMITED, LIMITED_BY_KIND, OF_RANKING
from cfa_lab.metrics.jackknife import leave_out
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
from cfa_lab.metrics.weights import Halves, drawn_changes, drawn_times

NUM_RESAMPLES, CONFIDENCE, NUM_THRESHOLDS = 1000, 0.95, 1000  # unless asked for otherwise
UNSEEN: dict[str, Halves] = {
    "image_auroc": (0.35, 0.5),
    "image_ap": (0.15, 0.5),
    "image_f1max": (0.5, 0.5),
    "pixel": (0.0, 0.5),
}
"""Images' worth of each unseen image, normal and defect; as `bench intervals` has them hold best.

A false alarm costs AP more than it costs AUROC, and no normal image is one great defect.
"""
AP_STRETCH = 3.0
"""Over the number of defect images: by what share AP's draws below its value lie farther off.

Few images say too little of how AP varies where normal ones score above many defects: at an AUROC
of .7 nine lower bounds of 100 lay above the truth. Chosen by sets of other seeds than the docs'.
"""
ONE_IMAGE = "one image holds all defects: nothing says how much such images vary"
MOST_PIXEL_RESAMPLES = 200
"""That say how high F1max of pixels is by chance; their mean is what counts."""


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
    is sPRO. Bounds are quantiles of `num_resamples` draws. Memory: 48 bytes x num_thresholds x n.
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
    times = left_out.times()
    rows = counts.with_unseen(labels, left_out.num_images).summed(times)
    measures = {f"pixel_{name}": metric.values(rows) for name, metric in OF_RANKING.items()}
    for name, metric in LIMITED.items():
        for limit in aupro_limits:
            measures[at_limit(name, limit)] = metric.values(rows, limit=limit)
    if defects:
        by_kind = defects.summed(times, labels, left_out.num_images, num=num_thresholds)
        for name, metric in LIMITED_BY_KIND.items() if by_kind else ():
            for limit in aupro_limits:
                measures[at_limit(name, limit)] = metric.values(by_kind, limit=limit)
    num_draws = min(num_resamples, MOST_PIXEL_RESAMPLES)
    draws = counts.summed(draw_times(labels, num_resamples=num_draws, seed=seed))
    for is_optimistic in (False, True):
        influences, biases = {}, {}
        for name, row in measures.items():
            metric = OF_RANKING.get(name.removeprefix("pixel_"))
            if (metric is not None and metric.is_optimistic) != is_optimistic:
                continue
            if np.isnan(row).any():
                found[name] = none(ONE_IMAGE)
                continue
            influences[name] = left_out.influences(row)
            bias = sum(one.bias for one in influences[name].values())
            biases[name] = bias, bias
            if metric is not None and is_optimistic:
                bias = float(metric.values(draws).mean() - row[0])
                biases[name] = 2 * bias, bias
        changes = drawn_changes(
            list(influences.values()),
            left_out,
            UNSEEN["pixel"],
            num=num_resamples,
            seed=seed,
            stretched=is_optimistic,
        )
        for name, change in zip(influences, changes, strict=True):
            found[name] = _between(values[name], values[name] + change, biases[name], confidence)
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
    num_normal, num_defect = left_out.num_images[0], left_out.num_images[1]
    # above and below all scores lie unseen images
    spread = spread_thresholds(ranking, num=num_thresholds)
    thresholds = np.concatenate(([np.inf], spread, [-np.inf]))
    counts = count_scores(scores, labels, thresholds)
    extended = counts.with_unseen(labels, left_out.num_images)
    left = extended.summed(left_out.times())
    resampled = counts.summed(draw_times(labels, num_resamples=num_resamples, seed=seed))
    found = {}
    for name, metric in names.items():
        value = metric.value(ranking)
        is_mean = name == "image_auroc"  # over pairs of images, hence without bias
        bias = 0.0 if is_mean else float(metric.values(resampled).mean()) - value
        if metric.is_optimistic:
            influences = left_out.influences(metric.values(left))
            changes = drawn_changes(
                [influences], left_out, UNSEEN[name], num=num_resamples, seed=seed, stretched=True
            )
            found[name] = _between(value, value + changes[0], (2 * bias, bias), confidence)
        else:
            times = drawn_times(labels, UNSEEN[name], num=num_resamples, seed=seed)
            drawn = metric.values(extended.summed(times)) - bias  # which draws add to their own
            if not is_mean:
                drawn = np.minimum(drawn, value + (1 + AP_STRETCH / num_defect) * (drawn - value))
            found[name] = _between(value, drawn, (2 * bias, 0.0), confidence)
    least = 2 * num_defect / (2 * num_defect + num_normal)  # of F1max: calling all of them defect
    f1max = found["image_f1max"]
    found["image_f1max"] = Interval(min(max(f1max.low, least), f1max.high), f1max.high)
    return found


def none(why: str) -> Interval:
    """No interval, for this reason."""
    return Interval(math.nan, math.nan, why)


def _between(
    value: float, drawn: np.ndarray, bias: tuple[float, float], confidence: float
) -> Interval:
    """The quantiles of draws (r,), less the bias that each may have; around the value, in 0..1."""
    low, high = np.quantile(drawn, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Interval(
        max(min(float(low) - bias[0], value), 0.0), min(max(float(high) - bias[1], value), 1.0)
    )
