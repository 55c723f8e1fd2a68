"""The level-wise linear map of `levelwise`, and its gradient, compiled: one pass over the patches.

Bilinear upsampling takes two places of each axis. So a row of patches needs two rows of each
coarser level, which stay in the caches while the row is added up, or while its gradient is handed
down to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfa_lab.method.cpu.compiled import as_array, compiled, narrow, widen
from cfa_lab.method.levelwise import upsampling_matrix
from cfa_lab.method.pyramid import coordinates


@dataclass(frozen=True)
class Grid:
    """Where the patches of b images stand on the coarser levels, and how many rows these take."""

    num_images: int
    size: tuple[int, int]
    coarser: tuple[tuple[int, int], ...]
    """Size of each level but the finest."""
    arrays: tuple[Any, ...]
    """For the compiled code: `starts` and `sizes` of the levels, then for rows and for columns the
    lower of the two places and the weights of both, and last the coordinates of rows and columns.
    """

    @property
    def num_patches(self) -> int:
        return self.num_images * self.size[0] * self.size[1]

    @property
    def levels(self) -> list[slice]:
        """The rows of each coarser level, where those of all levels stand in one array."""
        starts = self.arrays[0]
        return [slice(int(a), int(b)) for a, b in pairwise(starts)]


def make_grid(num_images: int, sizes: Sequence[tuple[int, int]], dtype: torch.dtype) -> Grid:
    """The grid of levels of the given sizes (h_l, w_l), finest first."""
    size, *coarser = sizes
    starts = np.cumsum([0, *(num_images * h * w for h, w in coarser)])
    rows = [_places(low[0], size[0], dtype) for low in coarser]
    columns = [_places(low[1], size[1], dtype) for low in coarser]
    position = coordinates(*size, dtype=dtype).numpy()
    arrays = (
        starts,
        np.array(coarser, dtype=np.int64).reshape(-1, 2),
        *_stack(rows, size[0], dtype),
        *_stack(columns, size[1], dtype),
        position[0, :, 0].copy(),
        position[1, 0].copy(),
    )
    return Grid(num_images, size, tuple(coarser), arrays)


def _places(length: int, size: int, dtype: torch.dtype) -> tuple[Any, Any]:
    """The lower of the two places (size,) that upsampling takes, and the weights (size, 2)."""
    matrix = upsampling_matrix(length, size, dtype, torch.device("cpu")).numpy()
    low = (matrix != 0).argmax(1)
    weights = np.zeros((size, 2), matrix.dtype)
    weights[:, 0] = matrix[np.arange(size), low]
    inside = low + 1 < length
    weights[inside, 1] = matrix[inside, low[inside] + 1]
    return low, weights


def _stack(places: list[tuple[Any, Any]], size: int, dtype: torch.dtype) -> tuple[Any, Any]:
    low = np.zeros((len(places), size), np.int64)
    weights = np.zeros((len(places), size, 2), torch.empty(0, dtype=dtype).numpy().dtype)
    for level, (own_low, own_weights) in enumerate(places):
        low[level], weights[level] = own_low, own_weights
    return low, weights


def add_levels(
    grid: Grid,
    product: Tensor,
    coarse: Tensor,
    bias: Tensor,
    position: Tensor,
    out: Tensor,
    rows: tuple[int, int],
) -> None:
    """Fill `out` (patches of some rows, d): products of the finest level and all else, added up.

    `product`, alike, which may be `out` itself, and the coarser levels' products, one level after
    the other in `coarse`, come in float or bf16; `bias` is (d,), `position` (2, d) the weight of
    the coordinates, or (0, d). `rows` is the range of rows of patches, counted over all images.
    """
    tensors = (product, coarse, bias, position, out)
    _add_levels(*grid.arrays, *(as_array(tensor) for tensor in tensors), *rows)


@compiled
def _add_levels(
    starts,
    sizes,
    row_low,
    row_weights,
    column_low,
    column_weights,
    row_at,
    column_at,
    product,
    coarse,
    bias,
    position,
    out,
    first,
    last,
):
    num_levels, height, width = len(sizes), row_low.shape[1], column_low.shape[1]
    dimension = out.shape[1]
    buffer = np.empty((max(1, sizes[:, 1].sum()), dimension), out.dtype)
    for grid_row in range(first, last):
        image, row = grid_row // height, grid_row % height
        begin = 0
        for level in range(num_levels):
            low_height, low_width = sizes[level]
            low = row_low[level, row]
            high = min(low + 1, low_height - 1)
            a, b = row_weights[level, row]
            for column in range(low_width):
                above = coarse[starts[level] + (image * low_height + low) * low_width + column]
                below = coarse[starts[level] + (image * low_height + high) * low_width + column]
                mixed = buffer[begin + column]
                for j in range(dimension):
                    mixed[j] = a * widen(above[j]) + b * widen(below[j])
            begin += low_width
        for column in range(width):
            patch = (grid_row - first) * width + column
            result, own = out[patch], product[patch]
            if len(position):
                y, x = row_at[row], column_at[column]
                for j in range(dimension):
                    result[j] = widen(own[j]) + bias[j] + y * position[0, j] + x * position[1, j]
            else:
                for j in range(dimension):
                    result[j] = widen(own[j]) + bias[j]
            begin = 0
            for level in range(num_levels):
                low_width = sizes[level, 1]
                low = column_low[level, column]
                left, right = buffer[begin + low], buffer[begin + min(low + 1, low_width - 1)]
                a, b = column_weights[level, column]
                for j in range(dimension):
                    result[j] += a * left[j] + b * right[j]
                begin += low_width


@compiled
def pull_row(
    starts,
    sizes,
    row_low,
    row_weights,
    column_low,
    column_weights,
    row_at,
    column_at,
    grid_row,
    phi,
    entries,
    indices,
    grad,
    out,
    coarse,
    sums,
):
    """The gradient of a row of patch features (w, d), from that of their distances, handed on.

    `grad` (w, k) is the gradient of the squared distances to `entries[indices]`. Fills `out`
    (w, d), which may be `phi` itself, in float or bf16; adds to `coarse` the share of each coarser
    level (the transpose of upsampling), and to `sums` (3, d) the gradients of bias, row and column
    weight.
    """
    num_levels, height = len(sizes), row_low.shape[1]
    dimension = phi.shape[1]
    image, row = grid_row // height, grid_row % height
    zero = out[:1, :1].ravel()[0]
    buffer = np.zeros((max(1, sizes[:, 1].sum()), dimension), phi.dtype)
    pulled, along = np.empty(dimension, phi.dtype), np.zeros(dimension, phi.dtype)
    for column in range(phi.shape[0]):
        query, result = phi[column], out[column]
        pulled[:] = 0
        moved = False
        for neighbour in range(indices.shape[1]):
            weight = 2 * grad[column, neighbour]
            if weight != 0:
                moved = True
                centre = entries[indices[column, neighbour]]
                for j in range(dimension):
                    pulled[j] += weight * (query[j] - centre[j])
        for j in range(dimension):
            result[j] = narrow(pulled[j], zero)
        if not moved:
            continue
        x, by_column = column_at[column], sums[2]
        for j in range(dimension):
            along[j] += pulled[j]
            by_column[j] += x * pulled[j]
        begin = 0
        for level in range(num_levels):
            low_width = sizes[level, 1]
            low = column_low[level, column]
            left, right = buffer[begin + low], buffer[begin + min(low + 1, low_width - 1)]
            a, b = column_weights[level, column]
            for j in range(dimension):
                left[j] += a * pulled[j]
            for j in range(dimension):
                right[j] += b * pulled[j]
            begin += low_width
    y = row_at[row]
    for j in range(dimension):
        sums[0, j] += along[j]
        sums[1, j] += y * along[j]
    begin = 0
    for level in range(num_levels):
        low_height, low_width = sizes[level]
        low = row_low[level, row]
        high = min(low + 1, low_height - 1)
        a, b = row_weights[level, row]
        start = starts[level] + image * low_height * low_width
        for column in range(low_width):
            above = coarse[start + low * low_width + column]
            below = coarse[start + high * low_width + column]
            mixed = buffer[begin + column]
            for j in range(dimension):
                above[j] += a * mixed[j]
            for j in range(dimension):
                below[j] += b * mixed[j]
        begin += low_width
