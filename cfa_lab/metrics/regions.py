"""Region metrics: every connected defect counts the same, whatever its size."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cfa_lab.errors import UserError
from cfa_lab.metrics.ranking import Ranking, area_under, rank

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class RegionAreas:
    """For each defect pixel of a mask, in row order: its region's area in pixels, (p,) int32."""

    areas: np.ndarray
    num_regions: int


def region_areas(mask: np.ndarray) -> RegionAreas:
    """Label the 8-connected regions of a (h, w) boolean mask and measure them."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return RegionAreas(areas=np.zeros(0, dtype=np.int32), num_regions=0)
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    labels = np.empty(box.shape, dtype=np.int32)
    ndimage.label(box, structure=EIGHT_NEIGHBOURS, output=labels)
    labels = labels[box]  # (p,)
    areas = np.bincount(labels).astype(np.int32)
    return RegionAreas(areas=areas[labels], num_regions=areas.size - 1)  # label 0 is normal


def aupro(ranking: Ranking, *, limit: float) -> float:
    """Area under the per-region-overlap curve up to a false-positive rate, divided by that rate.

    The curve starts at (0, 0); the rate is over all defect-free pixels of all images; the end is
    interpolated linearly (MVTec AD's definition). `ranking.coverage` has to hold weights of 1 /
    region area.
    """
    area = area_under(
        np.concatenate(([0.0], ranking.false_positives, [ranking.num_negatives])),
        np.concatenate(([0.0], ranking.coverage, [ranking.num_regions])),
        limit=limit * ranking.num_negatives,
    )
    return area / (limit * ranking.num_negatives * ranking.num_regions)


@dataclass(frozen=True)
class Defect:
    """A defect of MVTec LOCO AD: its (h, w) mask, and how many of its pixels are enough."""

    mask: np.ndarray
    saturation_area: int


def saturation_area(area: int, *, threshold: float, relative: bool) -> int:
    """Pixels that are enough to call a defect found (LOCO's `defects_config.json`).

    `threshold` is a share of `area` rounded down if `relative`, else pixels, at most `area`. At
    least 1 (our choice: the original divides by zero there).
    """
    return max(1, int(threshold * area) if relative else int(min(threshold, area)))


def spro(
    maps: Sequence[np.ndarray], defects: Sequence[Sequence[Defect]], *, limits: Iterable[float]
) -> dict[float, float]:
    """Area under the saturated per-region-overlap curve up to each limit, divided by the limit.

    MVTec LOCO AD: the overlap of a defect is min(detected pixels / saturation area, 1), the mean is
    over the defects of all images, and only pixels free of every defect count as false positives.
    `maps`: (h, w) each; `defects`: those of each map, none for a normal image. LOCO samples this
    curve; here it is exact. NaN without a defect or a normal pixel.
    """
    negatives, positives, weights = [], [], []
    for index, (score_map, found) in enumerate(zip(maps, defects, strict=True)):
        union = np.zeros(score_map.shape, dtype=bool)
        for defect in found:
            mask = _checked_mask(defect, score_map, index)
            union |= mask
            # Only the best-scored `saturation_area` pixels add anything: the rest is saturated.
            positives.append(np.sort(score_map[mask])[::-1][: defect.saturation_area])
            weights.append(np.full(positives[-1].size, 1.0 / defect.saturation_area))
        negatives.append(score_map[~union])
    if not positives or not any(values.size for values in negatives):
        return {limit: float("nan") for limit in limits}
    ranking = rank(
        negatives,
        np.concatenate(positives),
        weights=np.concatenate(weights),
        num_regions=len(positives),
    )
    return {limit: aupro(ranking, limit=limit) for limit in limits}


def _checked_mask(defect: Defect, score_map: np.ndarray, index: int) -> np.ndarray:
    mask = np.asarray(defect.mask) != 0
    if mask.shape != score_map.shape:
        raise UserError(
            f"a defect mask of image {index} is {mask.shape}, its map {score_map.shape}: "
            "masks and maps need the same size; upsample the map, never the mask"
        )
    area = int(mask.sum())
    if not 1 <= defect.saturation_area <= area:
        raise UserError(
            f"saturation area {defect.saturation_area} of a defect in image {index} has to lie in "
            f"1..{area}, the defect's area; compute it with saturation_area()"
        )
    return mask
