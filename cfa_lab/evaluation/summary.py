"""What a test set says about a detector: values, intervals, curves, and why some are not there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cfa_lab.data.samples import SampleTable
from cfa_lab.evaluation.maps import ScoredImage
from cfa_lab.evaluation.outside import Outside
from cfa_lab.evaluation.thresholds import Thresholds
from cfa_lab.evaluation.wrong import PEAK, Look, peak_in_defect
from cfa_lab.metrics.collected import CollectedScores
from cfa_lab.tracking.base import Curve

CURVES = {
    "image_roc": ("Image ROC", "false-positive rate", "true-positive rate"),
    "image_pr": ("Image precision and recall", "recall", "precision"),
    "pixel_roc": ("Pixel ROC", "false-positive rate", "true-positive rate"),
    "pixel_pr": ("Pixel precision and recall", "recall", "precision"),
    "pro": ("Per-region overlap", "false-positive rate", "mean region overlap"),
}

SEG_F1 = "threshold/seg_f1"
NO_THRESHOLD = (
    "no threshold was set, since no normal image is held out; put some into the data set's "
    "validation folder or give dataset.validation_fraction"
)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the test set says about a detector; None where a number is undefined."""

    metrics: dict[str, float | None]
    """`test/...`, and `threshold/...` where thresholds were set."""
    oracle: dict[str, float | None]
    """`oracle/...`: whatever looked at test labels to choose."""
    undefined: dict[str, str]
    """Why, for each metric that is None."""
    intervals: dict[str, list[float] | None]
    """95 % interval over images, low and high, of each of `test/...`."""
    no_intervals: dict[str, str]
    """Why, for each metric with a value whose interval is None."""
    thresholds: Thresholds | None
    """What `threshold/...` was measured at; None where no threshold was set."""
    images: list[ScoredImage]
    curves: dict[str, Curve]
    outside: dict[str, float]
    """What scored windows leave out: images without a visible defect, share of defect pixels."""
    metric_bytes: int
    """What the metrics kept of all scores, in memory and on disk."""
    defect_areas: list[int | None] = field(default_factory=list)
    """Defect pixels of each image's mask, scored or not; None where the mask is unknown."""
    looks: list[Look] = field(default_factory=list)
    """Peak and defects of each image."""

    @property
    def tested(self) -> dict[str, float | None]:
        """The metrics that need no threshold, `test/...`: those that curves over epochs have."""
        return {name: value for name, value in self.metrics.items() if name.startswith("test/")}


def summary(
    collected: CollectedScores,
    images: list[ScoredImage],
    outside: Outside,
    thresholds: Thresholds | None,
    num_resamples: int,
) -> Evaluation:
    """Metrics, oracle values, intervals and curves of all scores, and why those without are."""
    metrics = collected.scored_set()
    values = {f"test/{name}": value for name, value in metrics.values().items()}
    undefined = {f"test/{name}": reason for name, reason in metrics.undefined().items()}
    oracle = {f"oracle/{name}": value for name, value in metrics.oracle().items()}
    if thresholds:
        decided = metrics.at_threshold(thresholds.image, thresholds.pixel)
        for name, value in decided.items():
            values[f"threshold/{name}"] = value
            if not math.isfinite(value):
                undefined[f"threshold/{name}"] = "no image or pixel of the class it is a share of"
        for kind, threshold in (("image", thresholds.image), ("pixel", thresholds.pixel)):
            values[f"threshold/{kind}_threshold"] = threshold
            best = oracle[f"oracle/{kind}_f1max_threshold"]
            oracle[f"oracle/{kind}_threshold_gap"] = threshold - best
            lost = values[f"test/{kind}_f1max"] - decided[f"{kind}_f1"]
            oracle[f"oracle/{kind}_f1_lost"] = lost
    intervals = metrics.intervals(num_resamples=num_resamples) if num_resamples else {}
    return Evaluation(
        metrics={name: _finite(value) for name, value in values.items()},
        oracle={name: _finite(value) for name, value in oracle.items()},
        undefined=undefined,
        intervals={
            f"test/{name}": [interval.low, interval.high] if math.isfinite(interval.low) else None
            for name, interval in intervals.items()
        },
        no_intervals={
            f"test/{name}": interval.why
            for name, interval in intervals.items()
            if interval.why and f"test/{name}" not in undefined
        },
        thresholds=thresholds,
        images=images,
        curves={
            name: Curve(
                x=x, y=y, title=CURVES[name][0], x_label=CURVES[name][1], y_label=CURVES[name][2]
            )
            for name, (x, y) in metrics.curves().items()
            if len(x)
        },
        outside=outside.record(),
        metric_bytes=collected.num_bytes,
    )


def with_looks(found: Evaluation, looks: list[Look]) -> Evaluation:
    """The same with every image's peak, and the share of peaks that lie on a defect."""
    share, undefined = peak_in_defect(looks), found.undefined
    if share is None:
        undefined = undefined | {PEAK: "no test image has a defect that can be seen in its mask"}
    return replace(found, metrics=found.metrics | {PEAK: share}, undefined=undefined, looks=looks)


def without_spro(found: Evaluation, why_not: str) -> Evaluation:
    """The same with every sPRO undefined, and the reason."""
    names = [name for name in found.metrics if name.startswith("test/spro_")]
    return replace(
        found,
        metrics=found.metrics | dict.fromkeys(names),
        undefined=found.undefined | dict.fromkeys(names, why_not),
        intervals=found.intervals | dict.fromkeys(names if found.intervals else []),
        no_intervals={k: why for k, why in found.no_intervals.items() if k not in names},
    )


def with_seg_f1(found: Evaluation, table: SampleTable) -> Evaluation:
    """The same with MVTec AD 2's SegF1: F1 over the pixels of all test images, at the threshold."""
    undefined = found.undefined
    if found.thresholds is not None:
        value = found.metrics["threshold/pixel_f1"]
        if value is None:
            undefined = undefined | {SEG_F1: undefined["threshold/pixel_f1"]}
    elif table.validation:  # while training goes on no threshold is set
        return found
    else:
        value, undefined = None, undefined | {SEG_F1: NO_THRESHOLD}
    return replace(found, metrics=found.metrics | {SEG_F1: value}, undefined=undefined)


def best_on_test(evaluations: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """The highest value of each `test/...` metric over epochs and when it was reached.

    What published CFA figures report, each metric with an epoch of its own: `oracle/best_...`.
    """
    best: dict[str, float | None] = {}
    for name in (key for key in evaluations[0] if key.startswith("test/")):
        reached = [(v, -(e["epoch"] or 0)) for e in evaluations if (v := e[name]) is not None]
        value, epoch = max(reached) if reached else (None, None)
        short = name.removeprefix("test/")
        best[f"oracle/best_{short}"] = value
        best[f"oracle/best_{short}_epoch"] = None if epoch is None else -epoch
    return best


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
