"""From detector and test images to maps, predictions and metrics, at original resolution."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional

from cfa_lab.data.geometry import Placement
from cfa_lab.data.images import load_mask
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.features.extract import Extractor
from cfa_lab.method.detector import Detector
from cfa_lab.metrics import AnomalyMetrics
from cfa_lab.tracking.base import Curve

CURVES = {
    "image_roc": ("Image ROC", "false-positive rate", "true-positive rate"),
    "image_pr": ("Image precision and recall", "recall", "precision"),
    "pixel_roc": ("Pixel ROC", "false-positive rate", "true-positive rate"),
    "pixel_pr": ("Pixel precision and recall", "recall", "precision"),
    "pro": ("Per-region overlap", "false-positive rate", "mean region overlap"),
}


@dataclass(frozen=True)
class ScoredImage:
    """One image's scores."""

    sample: Sample
    placement: Placement
    patch_scores: Tensor
    """(h, w) of the patch grid, float32 on CPU; the map follows from it."""
    score: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the test set says about a detector."""

    metrics: dict[str, float | None]
    """`test/...`; None where undefined."""
    oracle: dict[str, float | None]
    """`oracle/...`: whatever looked at test labels to choose."""
    undefined: dict[str, str]
    """Why, for each metric that is None."""
    images: list[ScoredImage]
    curves: dict[str, Curve] = field(default_factory=dict)
    outside: dict[str, float] = field(default_factory=dict)
    """What scored windows leave out: images without a visible defect, share of defect pixels."""
    metric_bytes: int = 0


def score_images(
    detector: Detector, extractor: Extractor, table: SampleTable, samples: Sequence[Sample]
) -> Iterator[tuple[ScoredImage, Tensor]]:
    """Score images in order; yields each with its map (h, w) of the scored window."""
    paths = [table.absolute(sample.path) for sample in samples]
    waiting = iter(samples)
    for batch in extractor.batches(paths):
        for i, image in enumerate(batch.images):
            pyramid = [level[i : i + 1].float() for level in batch.pyramid]
            scores = detector.patch_scores(pyramid)  # (1, h, w)
            smoothed = detector.scoring.maps(scores, extractor.geometry.input_size)
            score = float(detector.scoring.image_scores(smoothed))
            scored = ScoredImage(next(waiting), image.placement, scores[0].float().cpu(), score)
            yield scored, to_window(smoothed, image.placement)[0]


def to_window(maps: Tensor, placement: Placement) -> Tensor:
    """Maps (b, h, w) at the network's input size -> (b, H, W) of the original image's window."""
    top, left, height, width = placement.content
    content = maps[:, None, top : top + height, left : left + width]
    size = placement.window[2:]
    return functional.interpolate(content, size=size, mode="bilinear", align_corners=False)[:, 0]


def full_map(detector: Detector, scored: ScoredImage, input_size: tuple[int, int]) -> np.ndarray:
    """An image's map at its original size (H, W) float32; NaN outside the scored window."""
    smoothed = detector.scoring.maps(scored.patch_scores[None], input_size)
    full = np.full(scored.placement.original, np.nan, dtype=np.float32)
    top, left, height, width = scored.placement.window
    window = to_window(smoothed, scored.placement)[0]
    full[top : top + height, left : left + width] = window.numpy()
    return full


def sample_mask(table: SampleTable, sample: Sample, placement: Placement) -> np.ndarray | None:
    """An image's defect mask (H, W) bool; None where a defect image comes without one."""
    if sample.label and not sample.masks:
        return None
    return load_mask([table.absolute(path) for path in sample.masks], placement.original)


def evaluate(
    detector: Detector,
    extractor: Extractor,
    table: SampleTable,
    *,
    aupro_limits: Sequence[float],
) -> Evaluation:
    """Score the test set and measure it, from raw scores, masks cut to the scored window."""
    metrics = AnomalyMetrics(aupro_limits=tuple(aupro_limits))
    images: list[ScoredImage] = []
    outside = _Outside()
    for scored, window_map in score_images(detector, extractor, table, table.test):
        images.append(scored)
        sample = scored.sample
        mask = sample_mask(table, sample, scored.placement)
        seen = None
        if mask is not None:
            top, left, height, width = scored.placement.window
            seen = mask[top : top + height, left : left + width]
            outside.count(mask, seen)
        metrics.update(
            [window_map],
            None if seen is None else [seen],
            labels=[sample.label],
            scores=[scored.score],
            names=[sample.path],
        )
    return _summary(metrics, images, outside)


def _summary(metrics: AnomalyMetrics, images: list[ScoredImage], outside: "_Outside") -> Evaluation:
    values = {name: float(value) for name, value in metrics.compute().items()}
    return Evaluation(
        metrics={f"test/{name}": _finite(value) for name, value in values.items()},
        oracle={f"oracle/{name}": _finite(value) for name, value in metrics.oracle().items()},
        undefined={f"test/{name}": reason for name, reason in metrics.undefined().items()},
        images=images,
        curves={
            name: Curve(
                x=x, y=y, title=CURVES[name][0], x_label=CURVES[name][1], y_label=CURVES[name][2]
            )
            for name, (x, y) in metrics.curves().items()
            if len(x)
        },
        outside=outside.record(),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@dataclass
class _Outside:
    """Counts what the scored windows leave out of the masks."""

    defect_pixels: int = 0
    seen_pixels: int = 0
    hidden_images: int = 0

    def count(self, mask: np.ndarray, seen: np.ndarray) -> None:
        total, visible = int(mask.sum()), int(seen.sum())
        self.defect_pixels += total
        self.seen_pixels += visible
        self.hidden_images += total > 0 and visible == 0

    def record(self) -> dict[str, float]:
        hidden = self.defect_pixels - self.seen_pixels
        return {
            "defect_pixels_outside_ratio": hidden / self.defect_pixels if self.defect_pixels else 0,
            "num_defect_images_without_visible_defect": self.hidden_images,
        }


def write_maps(
    folder: Path, detector: Detector, images: Sequence[ScoredImage], input_size: tuple[int, int]
) -> None:
    """Write full-size float16 TIFF maps in the layout that MVTec's evaluation reads.

    `<folder>/<category>/test/<defect>/<stem>.tiff`; outside the scored window stands the minimum.
    """
    import tifffile

    for scored in images:
        values = full_map(detector, scored, input_size)
        values = np.where(np.isnan(values), np.nanmin(values), values).astype(np.float16)
        path = (folder / scored.sample.path).with_suffix(".tiff")
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, values)
