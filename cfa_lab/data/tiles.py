"""Images too large to shrink, as overlapping tiles that are merged again without seams."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cfa_lab.data.geometry import Box, Geometry, Placement, Size


@dataclass(frozen=True)
class Tile:
    """One of the inputs that an image is cut into, by its number among `Geometry.windows`."""

    path: Path
    index: int


Source = Path | Tile
"""What becomes one input of the network: an image, or a tile of one."""


def tiles_of(paths: Sequence[Path], sizes: Iterator[Size], geometry: Geometry) -> list[Tile]:
    """The tiles of images whose sizes are known."""
    return [
        Tile(path, index)
        for path, size in zip(paths, sizes, strict=True)
        for index in range(len(geometry.windows(size)))
    ]


def cut(
    pixels: np.ndarray,
    window: Box,
    *,
    original: Size | None = None,
    first_row: int = 0,
) -> tuple[np.ndarray, Placement]:
    """A tile (h, w, 3) of an image (H, W, 3); beyond the image its last row and column go on.

    `pixels` may be a part of the image, all columns from `first_row` on, `original` its whole size.
    """
    top, left, height, width = window
    inside = pixels[top - first_row : top - first_row + height, left : left + width]
    shown = inside.shape[:2]
    beyond = ((0, height - shown[0]), (0, width - shown[1]), (0, 0))
    placement = Placement(
        original=original or (pixels.shape[0], pixels.shape[1]),
        window=(top, left, shown[0], shown[1]),
        content=(0, 0, shown[0], shown[1]),
    )
    return np.pad(inside, beyond, mode="edge"), placement


def merge(
    maps: Sequence[np.ndarray], placements: Sequence[Placement], geometry: Geometry
) -> np.ndarray:
    """Lay the tiles' maps (h, w) float32 onto the image's canvas: (H, W) of the same resolution.

    Where tiles overlap, each counts by its distance to its own rim, so that a map fades into the
    next over the whole overlap.
    """
    height, width = geometry.input_size
    rows, columns = maps[0].shape
    canvas = geometry.canvas(placements[0].original)
    size = canvas[0] * rows // height, canvas[1] * columns // width
    total, weights = np.zeros(size), np.zeros(size)
    weight = np.outer(_ramp(rows), _ramp(columns))
    for values, placement in zip(maps, placements, strict=True):
        top, left = placement.window[0] * rows // height, placement.window[1] * columns // width
        place = np.s_[top : top + rows, left : left + columns]
        total[place] += weight * values
        weights[place] += weight
    return (total / weights).astype(np.float32)


def _ramp(length: int) -> np.ndarray:
    """Distance to the nearer end, beginning with 1."""
    places = np.arange(1, length + 1)
    return np.minimum(places, places[::-1]).astype(float)
