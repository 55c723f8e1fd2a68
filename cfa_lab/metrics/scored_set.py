"""All results of one scored test set, from the scores of its pixels and images. Pure numpy."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cfa_lab.metrics.curves import Curve, pr_curve, pro_curve, roc_curve
from cfa_lab.metrics.decisions import decide
from cfa_lab.metrics.families import LIMITED_BY_KIND
from cfa_lab.metrics.intervals import (
    CONFIDENCE,
    NUM_RESAMPLES,
    NUM_THRESHOLDS,
    Interval,
    intervals,
)
from cfa_lab.metrics.per_image import aupimo
from cfa_lab.metrics.pixels import ImagePixels, split_by_image
from cfa_lab.metrics.ranking import Ranking, f1max, iou_max, rank
from cfa_lab.metrics.resampling import KindsOfDefects
from cfa_lab.metrics.saturation import rank_by_kind
from cfa_lab.metrics.summary import metric_names, metric_values


@dataclass(frozen=True)
class ScoredSet:
    """A scored test set of n images, and what follows from it.

    `labels` (n,) 0 or 1; `scores` (n,); `num_negatives`, `num_positives`, `num_regions` (n,):
    normal pixels, defect pixels and defect regions of each image, all 0 where the mask is unknown.
    `negatives` and `positives`: the scores of those pixels, image after image, in chunks that need
    not end where images end; `areas`: chunks of each defect pixel's region area. The rest is there
    with sPRO: kind of defect and numbers of defects and of saturating pixels of each image (n,),
    chunks of these pixels' scores and saturation areas.
    """

    labels: np.ndarray
    scores: np.ndarray
    num_negatives: np.ndarray
    num_positives: np.ndarray
    num_regions: np.ndarray
    negatives: Sequence[np.ndarray]
    positives: Sequence[np.ndarray]
    areas: Sequence[np.ndarray]
    aupro_limits: Sequence[float]
    with_spro: bool
    kinds: np.ndarray
    num_defects: np.ndarray
    num_saturating: np.ndarray
    saturating: Sequence[np.ndarray]
    saturation_areas: Sequence[np.ndarray]

    @cached_property
    def image(self) -> Ranking | None:
        """The ranking of the image scores; None without a normal or without a defect image."""
        if self.why_no_image_metrics:
            return None
        return rank([self.scores[self.labels == 0]], self.scores[self.labels == 1])

    @cached_property
    def pixel(self) -> Ranking | None:
        """The ranking of the pixel scores; None without a normal or without a defect pixel."""
        if self.why_no_pixel_metrics:
            return None
        return rank(
            self.negatives,
            np.concatenate(self.positives),
            weights=1.0 / np.concatenate(self.areas),
            num_regions=float(self.num_regions.sum()),
        )

    @cached_property
    def defects(self) -> KindsOfDefects | None:
        """The saturating pixels with their rankings by kind of defect; None without sPRO."""
        if not self.with_spro:
            return None
        images = list(
            map(
                ImagePixels,
                split_by_image(self.negatives, self.num_negatives),
                split_by_image(self.saturating, self.num_saturating),
                split_by_image(self.saturation_areas, self.num_saturating),
                self.num_defects,
            )
        )
        return KindsOfDefects(images, self.kinds, rank_by_kind(images, self.kinds))

    @property
    def why_no_image_metrics(self) -> str:
        """The reason in words, empty if image metrics are defined."""
        if self.labels.size == 0:
            return "no images were given"
        if not (self.labels == 1).any():
            return "no defect images in the test set"
        return "" if (self.labels == 0).any() else "no normal images in the test set"

    @property
    def why_no_pixel_metrics(self) -> str:
        """The reason in words, empty if pixel metrics are defined."""
        if self.labels.size == 0:
            return "no images were given"
        has_mask = self.num_negatives + self.num_positives > 0
        if not has_mask.any():
            return "no masks were given"
        if not self.num_positives.any():
            is_defect = self.labels == 1
            if is_defect.any() and not has_mask[is_defect].any():
                return "no defect image has a mask"
            return "no defect pixels in the masks of the test set"
        return "" if self.num_negatives.any() else "no normal pixels in the masks of the test set"

    @property
    def why_no_spro(self) -> str:
        """The reason in words, empty if sPRO is defined."""
        if self.defects is not None and self.defects.rankings:
            return ""
        return self.why_no_pixel_metrics or "no defects were given"

    def values(self) -> dict[str, float]:
        """Every metric by name, NaN where undefined."""
        by_kind = None if self.defects is None else list(self.defects.rankings.values())
        return metric_values(
            self.image, self.pixel, aupro_limits=self.aupro_limits, by_kind=by_kind
        )

    def undefined(self) -> dict[str, str]:
        """For each metric without a value, why it has none."""
        by_family = {"image": self.why_no_image_metrics}
        by_family |= dict.fromkeys(LIMITED_BY_KIND, self.why_no_spro)
        reasons = {
            name: by_family.get(name.partition("_")[0], self.why_no_pixel_metrics)
            for name in metric_names(self.aupro_limits, with_spro=self.with_spro)
        }
        return {name: reason for name, reason in reasons.items() if reason}

    def oracle(self) -> dict[str, float]:
        """The thresholds at which F1max is reached."""
        return {
            "image_f1max_threshold": _or_nan(self.image, lambda ranks: f1max(ranks).threshold),
            "pixel_f1max_threshold": _or_nan(self.pixel, lambda ranks: f1max(ranks).threshold),
        }

    def extra(self, *, fpr_range: tuple[float, float]) -> dict[str, float]:
        """Best pixel IoU over thresholds, and the mean AUPIMO."""
        per_image = self.aupimo(fpr_range=fpr_range)
        return {
            "pixel_iou_max": _or_nan(self.pixel, lambda ranks: iou_max(ranks).value),
            "aupimo": float(per_image.mean()) if per_image.size else float("nan"),
        }

    def aupimo(self, *, fpr_range: tuple[float, float]) -> np.ndarray:
        """AUPIMO of every image with defect pixels, in order."""
        images = list(self._images())
        normals = [
            image.negatives
            for image, label in zip(images, self.labels, strict=True)
            if label == 0 and image.negatives.size and not image.positives.size
        ]
        defects = [image.positives for image in images if image.positives.size]
        return aupimo(normals, defects, fpr_range=fpr_range)

    def at_threshold(
        self, image_threshold: float, pixel_threshold: float | None
    ) -> dict[str, float]:
        """F1, false-positive and miss rates of "score >= threshold"; NaN without a threshold."""
        normal, defect = self.scores[self.labels == 0], self.scores[self.labels == 1]
        image = decide([normal], [defect], threshold=image_threshold)
        negatives, positives = self.negatives, self.positives
        if pixel_threshold is None:
            negatives, positives, pixel_threshold = [], [], 0.0
        pixel = decide(negatives, positives, threshold=pixel_threshold)
        return {
            "image_f1": image.f1,
            "image_fpr": image.false_positive_rate,
            "image_miss_rate": image.miss_rate,
            "pixel_f1": pixel.f1,
            "pixel_fpr": pixel.false_positive_rate,
            "pixel_miss_rate": pixel.miss_rate,
        }

    def curves(self) -> dict[str, Curve]:
        """(x, y) of each curve, thinned for drawing; empty arrays if undefined."""
        return {
            "image_roc": roc_curve(self.image),
            "image_pr": pr_curve(self.image),
            "pixel_roc": roc_curve(self.pixel),
            "pixel_pr": pr_curve(self.pixel),
            "pro": pro_curve(self.pixel),
        }

    def intervals(
        self,
        *,
        num_resamples: int = NUM_RESAMPLES,
        confidence: float = CONFIDENCE,
        num_thresholds: int = NUM_THRESHOLDS,
        seed: int = 0,
    ) -> dict[str, Interval]:
        """The interval of every metric over images, see `intervals.py`."""
        return intervals(
            self._images(),
            self.labels,
            self.scores,
            self.values(),
            image=self.image,
            pixel=self.pixel,
            aupro_limits=self.aupro_limits,
            defects=self.defects,
            num_resamples=num_resamples,
            confidence=confidence,
            num_thresholds=num_thresholds,
            seed=seed,
        )

    def _images(self) -> Iterator[ImagePixels]:
        return map(
            ImagePixels,
            split_by_image(self.negatives, self.num_negatives),
            split_by_image(self.positives, self.num_positives),
            split_by_image(self.areas, self.num_positives),
            self.num_regions,
        )


def _or_nan(ranking: Ranking | None, metric: Callable[[Ranking], float]) -> float:
    return float("nan") if ranking is None else metric(ranking)
