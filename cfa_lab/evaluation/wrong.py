"""What was missed: where each map is highest, which defects a threshold touches, what was wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cfa_lab.data.geometry import Placement
from cfa_lab.metrics.decisions import exact_interval
from cfa_lab.metrics.regions import EIGHT_NEIGHBOURS

if TYPE_CHECKING:
    from cfa_lab.evaluation.maps import ScoredImage

PEAK = "test/peak_in_defect"
"""Share of the defect images with a visible mask whose highest map value lies on a defect."""


@dataclass(frozen=True)
class Look:
    """One test image looked at closely."""

    peak: tuple[int, int]
    """Row and column of the highest map value, in the original image."""
    peak_in_defect: bool | None
    """None where there is no defect to see."""
    num_defects: int = 0
    """Connected regions of the visible mask; 0 where there is no mask."""
    num_touched: int | None = None
    """Those in which some pixel reaches the pixel threshold; None without a threshold."""


def look_at(
    window_map: np.ndarray, seen: np.ndarray | None, placement: Placement, threshold: float | None
) -> Look:
    """Look at a map (h, w) of the scored window and the mask (h, w) bool there, if there is one."""
    row, column = np.unravel_index(int(window_map.argmax()), window_map.shape)
    top, left = placement.window[:2]
    peak = int(row) + top, int(column) + left
    if seen is None or not seen.any():
        return Look(peak, None)
    from scipy import ndimage

    labelled: Any = ndimage.label(seen, EIGHT_NEIGHBOURS)
    regions, number = labelled
    touched = None
    if threshold is not None:
        hit = np.unique(regions[window_map >= threshold])
        touched = int(np.count_nonzero(hit))
    return Look(peak, bool(seen[row, column]), int(number), touched)


def peak_in_defect(looks: Sequence[Look]) -> float | None:
    """The share of images with a visible defect whose peak lies on it; None without any."""
    told = [look.peak_in_defect for look in looks if look.peak_in_defect is not None]
    return sum(told) / len(told) if told else None


def wrong_decisions(
    images: "Sequence[ScoredImage]", looks: Sequence[Look], threshold: float
) -> list[dict[str, Any]]:
    """A row for each missed defect image, lowest score first, then for each false alarm, highest
    first, with `index` into the images."""
    rows = [
        {
            "index": index,
            "path": image.sample.path,
            "what": "miss" if image.sample.label else "false alarm",
            "defect": image.sample.defect,
            "score": image.score,
            "threshold": threshold,
            "peak_row": look.peak[0],
            "peak_column": look.peak[1],
            "peak_in_defect": look.peak_in_defect,
            "defects": look.num_defects,
            "defects_touched": look.num_touched,
        }
        for index, (image, look) in enumerate(zip(images, looks, strict=True))
        if (image.score >= threshold) != bool(image.sample.label)
    ]
    return sorted(
        rows,
        key=lambda row: (row["what"] != "miss", abs(row["score"] - threshold) * -1, row["path"]),
    )


def found_by_kind(
    images: "Sequence[ScoredImage]", looks: Sequence[Look], threshold: float
) -> dict[str, dict[str, Any]]:
    """Kind of image -> how many there are, how many are called defect, with an exact 95 % interval
    of that share, and how many defects there are and are touched. Normal images first."""
    order = dict.fromkeys((i.sample.label, i.sample.defect) for i in images)
    found: dict[str, dict[str, Any]] = {}
    for label, kind in sorted(order):
        pairs = [
            (image, look)
            for image, look in zip(images, looks, strict=True)
            if (image.sample.label, image.sample.defect) == (label, kind)
        ]
        called = sum(image.score >= threshold for image, _ in pairs)
        found[kind] = {
            "label": label,
            "images": len(pairs),
            "called_defect": called,
            "interval": list(exact_interval(called, len(pairs))),
            "defects": sum(look.num_defects for _, look in pairs),
            "defects_touched": sum(look.num_touched or 0 for _, look in pairs),
        }
    return found


def told_of_kinds(kinds: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The same in lines: `hole  7 of 8 images found (47 to 100 %), 8 of 9 defects touched`."""
    width = max(map(len, kinds), default=0)
    lines = []
    for kind, row in kinds.items():
        low, high = (f"{100 * bound:.0f}" for bound in row["interval"])
        called, number = row["called_defect"], row["images"]
        what = "found" if row["label"] else "called defect"
        line = f"{kind:{width}}  {called} of {number} images {what} ({low} to {high} %)"
        if row["defects"]:
            line += f", {row['defects_touched']} of {row['defects']} defects touched"
        lines.append(line)
    return lines
