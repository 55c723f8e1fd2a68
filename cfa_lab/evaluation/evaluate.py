"""From detector and test images to predictions and metrics, at original resolution."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cfa_lab.data.doubts import mask_doubt
from cfa_lab.data.geometry import Placement
from cfa_lab.data.masks import load_mask
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.evaluation.defects import DefectReader
from cfa_lab.evaluation.maps import ScoredImage, See, score_images
from cfa_lab.evaluation.thresholds import Thresholds
from cfa_lab.evaluation.wrong import PEAK, Look, look_at, peak_in_defect
from cfa_lab.features.extract import Extractor
from cfa_lab.method.detector import Detector
from cfa_lab.metrics.collected import CollectedScores
from cfa_lab.progress import phase
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


def evaluate(
    detector: Detector,
    extractor: Extractor,
    table: SampleTable,
    *,
    aupro_limits: Sequence[float],
    thresholds: Thresholds | None = None,
    num_resamples: int = 0,
    spill_gb: float | None = None,
    see: See | None = None,
) -> Evaluation:
    """Score the test set and measure it, from raw scores, masks cut to the scored window.

    Where the authors of the data set measure sPRO or SegF1 (`table.measures`), so does this. `see`
    is told of the neighbours of every test image's patches.
    """
    spill_bytes = None if spill_gb is None else int(spill_gb * 2**30)
    reader = DefectReader(table) if "spro" in table.measures else None
    collected = CollectedScores(aupro_limits, with_spro=reader is not None, spill_bytes=spill_bytes)
    images: list[ScoredImage] = []
    looks: list[Look] = []
    areas: list[int | None] = []
    pixel_threshold = None if thresholds is None else thresholds.pixel
    outside = _Outside()
    for scored, window_map in score_images(detector, extractor, table, table.test, see=see):
        images.append(scored)
        sample = scored.sample
        mask = sample_mask(table, sample, scored.placement)
        areas.append(None if mask is None else int(np.count_nonzero(mask)))
        seen = None
        if mask is not None:
            top, left, height, width = scored.placement.window
            seen = mask[top : top + height, left : left + width]
            outside.count(mask, seen, doubt=mask_doubt(mask) if sample.masks else None)
        looks.append(look_at(window_map.cpu().numpy(), seen, scored.placement, pixel_threshold))
        collected.add(
            [window_map],
            None if seen is None else [seen],
            labels=[sample.label],
            scores=[scored.score],
            names=[sample.path],
            defects=None if reader is None else [reader.read(sample, scored.placement)],
            kinds=None if reader is None else [reader.kind(sample)],
        )
    with phase("metrics and intervals" if num_resamples else "metrics"):
        found = _summary(collected, images, outside, thresholds, num_resamples)
    found = replace(_with_looks(found, looks), defect_areas=areas)
    if reader is not None and reader.why_not:
        found = _without_spro(found, reader.why_not)
    return _with_seg_f1(found, table) if "seg_f1" in table.measures else found


def _summary(
    collected: CollectedScores,
    images: list[ScoredImage],
    outside: "_Outside",
    thresholds: Thresholds | None,
    num_resamples: int,
) -> Evaluation:
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


def _with_looks(found: Evaluation, looks: list[Look]) -> Evaluation:
    share, undefined = peak_in_defect(looks), found.undefined
    if share is None:
        undefined = undefined | {PEAK: "no test image has a defect that can be seen in its mask"}
    return replace(found, metrics=found.metrics | {PEAK: share}, undefined=undefined, looks=looks)


def _without_spro(found: Evaluation, why_not: str) -> Evaluation:
    """The same with every sPRO undefined, and the reason."""
    names = [name for name in found.metrics if name.startswith("test/spro_")]
    return replace(
        found,
        metrics=found.metrics | dict.fromkeys(names),
        undefined=found.undefined | dict.fromkeys(names, why_not),
        intervals=found.intervals | dict.fromkeys(names if found.intervals else []),
        no_intervals={k: why for k, why in found.no_intervals.items() if k not in names},
    )


def _with_seg_f1(found: Evaluation, table: SampleTable) -> Evaluation:
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


def sample_mask(table: SampleTable, sample: Sample, placement: Placement) -> np.ndarray | None:
    """An image's defect mask (H, W) bool; None where a defect image comes without one."""
    if sample.label and not sample.masks:
        return None
    paths = [table.absolute(path) for path in sample.masks]
    return load_mask(paths, placement.original, above=table.mask_above)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@dataclass
class _Outside:
    """Counts what the scored windows leave out of the masks, and masks that cannot be right."""

    defect_pixels: int = 0
    seen_pixels: int = 0
    hidden_images: int = 0
    empty_masks: int = 0
    inverted_masks: int = 0

    def count(self, mask: np.ndarray, seen: np.ndarray, *, doubt: str | None) -> None:
        self.empty_masks += doubt == "empty"
        self.inverted_masks += doubt == "inverted"
        total, visible = int(mask.sum()), int(seen.sum())
        self.defect_pixels += total
        self.seen_pixels += visible
        self.hidden_images += total > 0 and visible == 0

    def record(self) -> dict[str, float]:
        hidden = self.defect_pixels - self.seen_pixels
        return {
            "defect_pixels_outside_ratio": hidden / self.defect_pixels if self.defect_pixels else 0,
            "num_defect_images_without_visible_defect": self.hidden_images,
            "num_empty_masks": self.empty_masks,
            "num_inverted_masks": self.inverted_masks,
        }
