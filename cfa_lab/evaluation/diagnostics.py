"""What became of the hyperspheres: who lies inside them, which are used, how far patches are."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from cfa_lab.data.geometry import Placement, Size
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.evaluation.evaluate import sample_mask
from cfa_lab.method.neighbours import Neighbours
from cfa_lab.records.diagnostics import INSIDE, KINDS
from cfa_lab.tracking.base import Curve

NORMAL, DEFECT, UNKNOWN = 0, 1, -1
CODES = dict(zip(KINDS, (NORMAL, DEFECT), strict=True))
NUM_BINS = 60


@dataclass(frozen=True)
class PatchDistances:
    """The two nearest bank entries of test patches (p patches), and what the masks say of them."""

    nearest: np.ndarray
    """(p, 1 or 2) float32 distances, not squared, ascending; one column for a bank of one."""
    entries: np.ndarray
    """(p,) index of the nearest entry."""
    kinds: np.ndarray
    """(p,) int8: 0 normal, 1 overlapping a mask, -1 of a defect image that has no mask."""


def choose_samples(samples: Sequence[Sample], num_images: int) -> list[Sample]:
    """At most `num_images` of the samples, evenly spaced, so that every kind of defect is met."""
    if len(samples) <= num_images:
        return list(samples)
    return [samples[i] for i in np.linspace(0, len(samples) - 1, num_images).round().astype(int)]


class PatchWitness:
    """Keeps of chosen test images what the search finds while they are scored."""

    def __init__(self, table: SampleTable, samples: Sequence[Sample], input_size: Size):
        self.num_images = len(samples)
        self._table, self._input_size = table, input_size
        self._chosen = {sample.path for sample in samples}
        self._parts: list[PatchDistances] = []

    def see(self, sample: Sample, placement: Placement, grid: Size, found: Neighbours) -> None:
        """Take note of the patches of one input that show a part of a chosen image."""
        if sample.path not in self._chosen:
            return
        mask = sample_mask(self._table, sample, placement)
        shown, overlapping = cells(mask, placement, grid, self._input_size)
        kinds = np.where(overlapping, DEFECT, UNKNOWN if mask is None else NORMAL)[shown]
        keep = torch.from_numpy(shown.ravel()).to(found.indices.device)
        self._parts.append(
            PatchDistances(
                found.squared_distances[keep, :2].sqrt().float().cpu().numpy(),
                found.indices[keep, 0].cpu().numpy(),
                kinds.astype(np.int8),
            )
        )

    def distances(self) -> PatchDistances:
        """Those of all patches seen."""
        return PatchDistances(
            *(
                np.concatenate([getattr(part, field.name) for part in self._parts])
                for field in fields(PatchDistances)
            )
        )


def cells(
    mask: np.ndarray | None, placement: Placement, grid: Size, input_size: Size
) -> tuple[np.ndarray, np.ndarray]:
    """Which cells of the patch grid show a part of the image, and which overlap its mask.

    `mask` is (H, W) bool at original size; None marks none. Returns two bool arrays (h, w). A cell
    is its square of the network's input, mapped back to the original: what lies around it and what
    the backbone sees besides do not count.
    """
    rows, columns = (_cell_edges(placement, axis, grid[axis], input_size[axis]) for axis in (0, 1))
    shown = (rows[0] < rows[1])[:, None] & (columns[0] < columns[1])[None, :]
    if mask is None:
        return shown, np.zeros(grid, dtype=bool)
    # sums[y, x] counts the mask's pixels above y and left of x, so four of them count a box
    sums = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    (top, bottom), (left, right) = rows, columns
    counts = (
        sums[np.ix_(bottom, right)]
        - sums[np.ix_(top, right)]
        - sums[np.ix_(bottom, left)]
        + sums[np.ix_(top, left)]
    )
    return shown, shown & (counts > 0)


def _cell_edges(
    placement: Placement, axis: int, num_cells: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """First and end pixel of the original that each cell touches along an axis; equal for none."""
    start, size = placement.content[axis], placement.content[axis + 2]
    first, num_pixels = placement.window[axis], placement.window[axis + 2]
    edges = (np.arange(num_cells + 1) * length / num_cells - start).clip(0, size) / size
    # rounded, so that an edge that should fall between two pixels does not touch the next one
    pixels = (edges * num_pixels).round(9)
    begin, end = np.floor(pixels[:-1]), np.ceil(pixels[1:])
    end = np.where(pixels[:-1] < pixels[1:], end, begin)
    return first + begin.astype(int), first + end.astype(int)


def summarise(
    distances: PatchDistances,
    *,
    num_images: int,
    num_entries: int,
    radius: float,
    squared: bool,
    sqrt_alpha: float | None,
) -> dict[str, Any]:
    """A run's diagnostics as JSON values, None where there is nothing to count.

    A patch lies inside a hypersphere if the loss would not attract it: D <= r^2, D being the
    squared distance or, without `squared`, the distance. `alpha` is given where repulsion can only
    begin at r > sqrt(alpha). All patches count for the bank's use, normal and defect ones apart
    for the rest; distances are not squared.
    """
    border = abs(radius) if squared else radius**2
    usage = np.bincount(distances.entries, minlength=num_entries)
    highest = float(distances.nearest[:, 0].max(initial=0))
    edges = np.linspace(0, highest or 1.0, NUM_BINS + 1)
    of_kind = {name: distances.nearest[distances.kinds == kind] for name, kind in CODES.items()}
    return {
        "num_images": num_images,
        "num_patches": {name: len(values) for name, values in of_kind.items()},
        "radius": radius,
        "border_distance": border,
        "sqrt_alpha": sqrt_alpha,
        "inside": {name: _inside(values, border) for name, values in of_kind.items()},
        "median_distance": {
            name: float(np.median(values[:, 0])) if len(values) else None
            for name, values in of_kind.items()
        },
        "bank": {
            "entries": num_entries,
            "used": int((usage > 0).sum()),
            "effective": _effective(usage),
        },
        "histogram": {
            "edges": edges.tolist(),
            **{
                name: np.histogram(values[:, 0], edges)[0].tolist()
                for name, values in of_kind.items()
            },
        },
    }


def _inside(nearest: np.ndarray, border: float) -> dict[str, float] | None:
    """Shares of patches inside no, one and several hyperspheres."""
    if not len(nearest):
        return None
    inside = (nearest <= np.float32(border)).sum(1)
    return {name: float((inside == count).mean()) for count, name in enumerate(INSIDE)}


def _effective(usage: np.ndarray) -> float | None:
    """How many entries, used alike, would be as spread as these: exp of the entropy of use."""
    if not usage.sum():
        return None
    share = usage[usage > 0] / usage.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def curves(record: dict[str, Any]) -> dict[str, Curve]:
    """The distance histograms as lines to draw, in shares of the patches of a kind."""
    histogram = record["histogram"]
    edges = np.array(histogram["edges"])
    return {
        f"distances_{kind}": Curve(
            x=(edges[:-1] + edges[1:]) / 2,
            y=np.array(histogram[kind]) / sum(histogram[kind]),
            x_label="distance to the nearest bank entry",
            y_label=f"share of {kind} patches",
            title=f"Distances of {kind} patches",
        )
        for kind in KINDS
        if sum(histogram[kind])
    }
