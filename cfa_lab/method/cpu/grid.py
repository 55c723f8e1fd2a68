"""Where the patches of a pyramid stand on its coarser levels, as the compiled code takes it.

Bilinear upsampling takes two places of each axis: a patch is a mixture of the two nearest rows and
the two nearest columns of each coarser level.

    rows of patches     0   1   2   3   4   5
    rows of a level       0       1       2         row 2 lies between 0 and 1: low 0, weights
                                                    1/4 and 3/4; beyond an end, the end counts
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch

from cfa_lab.method.levelwise import upsampling_matrix
from cfa_lab.method.pyramid import coordinates


class Axis(NamedTuple):
    """Where the rows of patches stand on the rows of each coarser level; or columns on columns."""

    low: Any
    """(levels, size): the lower of the two places; the other is the next one, if there is one."""
    weights: Any
    """(levels, size, 2): what the lower and the upper place weigh."""
    position: Any
    """(size,): the coordinate, from -1 to 1."""


class Grid(NamedTuple):
    """The patches of b images, their pyramids one level after the other in arrays without gaps."""

    num_images: int
    height: int
    """Rows of patches of an image."""
    width: int
    """Columns of patches."""
    starts: Any
    """(levels + 1,): where each coarser level's positions begin, and where the last one's end."""
    sizes: Any
    """(levels, 2): height and width of each level but the finest."""
    rows: Axis
    columns: Axis

    @property
    def num_patches(self) -> int:
        return self.num_images * self.height * self.width

    @property
    def levels(self) -> list[slice]:
        """The positions of each coarser level."""
        return [slice(int(a), int(b)) for a, b in pairwise(self.starts)]


def make_grid(num_images: int, sizes: Sequence[tuple[int, int]], dtype: torch.dtype) -> Grid:
    """The grid of levels of the given sizes (h_l, w_l), finest first."""
    (height, width), *coarser = sizes
    rows, columns = coordinates(height, width, dtype=dtype).numpy()
    return Grid(
        num_images=num_images,
        height=height,
        width=width,
        starts=np.cumsum([0, *(num_images * h * w for h, w in coarser)]),
        sizes=np.array(coarser, dtype=np.int64).reshape(-1, 2),
        rows=_axis([h for h, _ in coarser], rows[:, 0].copy()),
        columns=_axis([w for _, w in coarser], columns[0].copy()),
    )


def _axis(lengths: Sequence[int], position: np.ndarray) -> Axis:
    """An axis of patches over those of levels of the given lengths."""
    size, dtype = len(position), position.dtype
    low = np.zeros((len(lengths), size), np.int64)
    weights = np.zeros((len(lengths), size, 2), dtype)
    for level, length in enumerate(lengths):
        matrix = upsampling_matrix(
            length, size, torch.from_numpy(position).dtype, torch.device("cpu")
        ).numpy()
        low[level] = first = (matrix != 0).argmax(1)
        weights[level, :, 0] = matrix[np.arange(size), first]
        inside = first + 1 < length
        weights[level, inside, 1] = matrix[inside, first[inside] + 1]
    return Axis(low, weights, position)
