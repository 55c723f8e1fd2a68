"""Region metrics: every connected defect counts the same, whatever its size."""

from dataclasses import dataclass

import numpy as np

from cfa_lab.metrics.ranking import Ranking, area_under

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
    from scipy import ndimage  # not before there is a defect to look at: a run starts sooner

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
