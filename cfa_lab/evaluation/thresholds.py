"""Thresholds of a detector, from the scores and maps of normal images that it was not fitted to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cfa_lab.data.samples import SampleTable
from cfa_lab.evaluation.maps import score_images
from cfa_lab.features.extract import Extractor
from cfa_lab.method.detector import Detector
from cfa_lab.metrics.thresholds import fit_threshold


@dataclass(frozen=True)
class Thresholds:
    """Scores at or above which an image, or a pixel, is called defect; from normal images only."""

    image: float
    pixel: float
    normal_scores: tuple[float, ...] = ()
    """The held-out normal images' scores, which set the image threshold."""


def fit_thresholds(
    scores: Sequence[float],
    pixels: Iterable[np.ndarray],
    *,
    rule: str,
    quantile: float,
    num_sd: float,
) -> Thresholds:
    """Both thresholds by one rule, from image scores and map values (k,) of each normal image."""
    image, pixel = (
        fit_threshold(values, rule, quantile=quantile, num_sd=num_sd)
        for values in (np.array(scores), np.concatenate(list(pixels)))
    )
    return Thresholds(image, pixel, normal_scores=tuple(scores))


def set_thresholds(
    detector: Detector,
    extractor: Extractor,
    table: SampleTable,
    *,
    rule: str,
    quantile: float,
    num_sd: float,
) -> Thresholds | None:
    """Thresholds from the held-out normal images, at the resolution they were taken in.

    None where no image is held out.
    """
    scores: list[float] = []
    pixels: list[np.ndarray] = []
    for scored, window_map in score_images(detector, extractor, table, table.validation):
        scores.append(scored.score)
        pixels.append(window_map.cpu().numpy().ravel())
    if not scores:
        return None
    return fit_thresholds(scores, pixels, rule=rule, quantile=quantile, num_sd=num_sd)
