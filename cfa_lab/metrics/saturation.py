"""sPRO, the region overlap of MVTec LOCO AD: of a defect, enough pixels are as good as all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cfa_lab.errors import UserError
from cfa_lab.metrics.pixels import ImagePixels
from cfa_lab.metrics.ranking import Ranking, count_exceeding, rank_at
from cfa_lab.metrics.regions import aupro


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


def saturating_pixels(
    score_map: np.ndarray, defects: Sequence[Defect], *, name: str
) -> ImagePixels:
    """The scores of an image's defects that count, each with its defect's saturation area.

    `score_map` is (h, w). Of each defect these are the `saturation_area` best ones: the others add
    nothing, since by then the defect is saturated. Defects may overlap; a common pixel counts for
    each. Normal pixels are left out. Raises `UserError` with the image's `name` where mask or
    saturation area do not fit.
    """
    scores, areas = [score_map[:0, 0]], [np.zeros(0, dtype=np.int32)]
    for defect in defects:
        mask = _checked_mask(defect, score_map, name)
        scores.append(np.sort(score_map[mask])[::-1][: defect.saturation_area])
        areas.append(np.full(defect.saturation_area, defect.saturation_area, dtype=np.int32))
    return ImagePixels(
        score_map[:0, 0], np.concatenate(scores), np.concatenate(areas), num_regions=len(defects)
    )


def rank_by_kind(images: Sequence[ImagePixels], kinds: np.ndarray) -> dict[int, Ranking]:
    """For each kind of defect the ranking of its images and of all normal ones.

    `images` hold all normal pixels (free of every defect) and the saturating ones; `kinds` (n,) is
    0 for normal images and 1, 2, ... for defect images. A kind without a defect or without a normal
    pixel has no ranking. Normal pixels are sorted once, whatever the number of kinds.
    """
    everything = [image.positives for image in images]
    if not any(scores.size for scores in everything):
        return {}
    thresholds = np.unique(np.concatenate(everything))[::-1]
    members = {kind: np.flatnonzero(kinds == kind).tolist() for kind in {0, *kinds.tolist()}}
    alarms = {
        kind: count_exceeding((images[i].negatives for i in indices), thresholds)
        for kind, indices in members.items()
    }
    rankings = {}
    for kind, indices in members.items():
        num_negatives = alarms[0][0] + alarms[kind][0]
        num_defects = sum(images[i].num_regions for i in indices)
        if kind == 0 or not num_defects or not num_negatives:
            continue
        found = rank_at(
            thresholds,
            [],
            np.concatenate([images[i].positives for i in indices]),
            weights=np.concatenate([images[i].weights for i in indices]),
            num_regions=float(num_defects),
        )
        rankings[kind] = replace(
            found,
            false_positives=alarms[0][1] + alarms[kind][1],
            num_negatives=float(num_negatives),
        )
    return rankings


def spro(rankings: Sequence[Ranking], *, limit: float) -> float:
    """Area under the saturated per-region-overlap curve up to a rate, divided by that rate.

    MVTec LOCO AD: the overlap of a defect is min(detected pixels / saturation area, 1), the mean is
    over the defects of one kind, only pixels free of every defect count as false positives, and the
    result is the mean over the kinds of defect, each beside all normal images. LOCO samples the
    curves; here they are exact. `rankings` is one for each kind; NaN without any.
    """
    if not rankings:
        return float("nan")
    return float(np.mean([aupro(ranking, limit=limit) for ranking in rankings]))


def _checked_mask(defect: Defect, score_map: np.ndarray, name: str) -> np.ndarray:
    mask = np.asarray(defect.mask) != 0
    if mask.shape != score_map.shape:
        raise UserError(
            f"{name}: a defect's mask is {mask.shape}, its map {score_map.shape}: masks and maps "
            "need the same size; upsample the map, never the mask"
        )
    area = int(mask.sum())
    if not 1 <= defect.saturation_area <= area:
        raise UserError(
            f"{name}: the saturation area {defect.saturation_area} of a defect has to lie in "
            f"1..{area}, the defect's area; compute it with saturation_area()"
        )
    return mask
