"""The level-wise linear map of `levelwise`, and its gradient, compiled: one pass over the patches.

A row of patches needs two rows of each coarser level. They are mixed into one, from which each
patch of the row takes its two columns; the gradient goes the same way back. So what is read twice
stays in the caches.
"""

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from cfa_lab.method.cpu.compiled import as_array, as_arrays, compiled, inlined, narrow, widen
from cfa_lab.method.cpu.grid import Grid


class Summands(NamedTuple):
    """What patch features are added up from."""

    finest: Any
    """(patches of some rows, d): the finest level's products, float or bf16."""
    coarse: Any
    """(positions, d): the coarser levels' products, one level after the other, float or bf16."""
    bias: Any
    """(d,)."""
    position: Any
    """(2, d): the weights of row and column; (0, d) without coordinates."""


class Pairs(NamedTuple):
    """The patches of a row and entries near them, whose squared distances have a gradient."""

    phi: Any
    """(w, d)."""
    entries: Any
    """(m, d)."""
    indices: Any
    """(w, k): the entries of each patch."""
    grad: Any
    """(w, k): of their squared distances."""


class Pulls(NamedTuple):
    """Where the gradient of patch features goes: to all that they are added up from."""

    finest: Any
    """(patches of some rows, d), float or bf16; filled in, and may be `Pairs.phi` itself."""
    coarse: Any
    """(positions, d); added to."""
    ends: Any
    """(3, d): of the bias and of the weights of row and column; added to."""


def add_levels(grid: Grid, rows: tuple[int, int], summands: Summands, out: Tensor) -> None:
    """Fill `out` (patches of some rows, d) with patch features, from tensors.

    `rows` is the range of rows of patches, counted over all images. `out` may be
    `summands.finest` itself.
    """
    _add_levels(grid, rows, as_arrays(summands), as_array(out))


@compiled
def _add_levels(grid: Grid, rows, summands: Summands, out):
    first, last = rows
    width = grid.width
    mixed = np.empty((max(1, grid.sizes[:, 1].sum()), out.shape[1]), out.dtype)
    for grid_row in range(first, last):
        _mix_rows(grid, grid_row, summands.coarse, mixed)
        begin = (grid_row - first) * width
        _fill_row(grid, grid_row, summands, mixed, begin, out)


@inlined
def _mix_rows(grid: Grid, grid_row, coarse, mixed):
    """Fill `mixed` (sum of w_l, d) with the two rows of each level around a row of patches."""
    starts, sizes, lows, weights = grid.starts, grid.sizes, grid.rows.low, grid.rows.weights
    dimension = mixed.shape[1]
    image, row = grid_row // grid.height, grid_row % grid.height
    begin = 0
    for level in range(len(sizes)):
        height, width = sizes[level]
        low = lows[level, row]
        high = min(low + 1, height - 1)
        a, b = weights[level, row]
        start = starts[level] + image * height * width
        for column in range(width):
            above = coarse[start + low * width + column]
            below = coarse[start + high * width + column]
            result = mixed[begin + column]
            for j in range(dimension):
                result[j] = a * widen(above[j]) + b * widen(below[j])
        begin += width


@inlined
def _fill_row(grid: Grid, grid_row, summands: Summands, mixed, begin, out):
    """Fill in a row of patches, whose first is `begin`: of each level, two columns are mixed."""
    sizes, lows, weights = grid.sizes, grid.columns.low, grid.columns.weights
    finest, bias, position = summands.finest, summands.bias, summands.position
    row_position, column_position = grid.rows.position, grid.columns.position
    dimension = out.shape[1]
    for column in range(grid.width):
        result, own = out[begin + column], finest[begin + column]
        if len(position):
            y, x = row_position[grid_row % grid.height], column_position[column]
            for j in range(dimension):
                result[j] = widen(own[j]) + bias[j] + y * position[0, j] + x * position[1, j]
        else:
            for j in range(dimension):
                result[j] = widen(own[j]) + bias[j]
        start = 0
        for level in range(len(sizes)):
            width = sizes[level, 1]
            low = lows[level, column]
            left, right = mixed[start + low], mixed[start + min(low + 1, width - 1)]
            a, b = weights[level, column]
            for j in range(dimension):
                result[j] += a * left[j] + b * right[j]
            start += width


@compiled
def pull_row(grid: Grid, grid_row, pairs: Pairs, pulls: Pulls):
    """The gradient of a row of patch features, from that of its distances, handed on to all parts.

    That of a feature x is sum_k 2 g_k (x - c_k) over the entries c_k found near it.
    """
    dimension = pairs.phi.shape[1]
    mixed = np.zeros((max(1, grid.sizes[:, 1].sum()), dimension), pairs.phi.dtype)
    along = np.zeros(dimension, pairs.phi.dtype)
    _pull_patches(grid, pairs, pulls, mixed, along)
    y, ends = grid.rows.position[grid_row % grid.height], pulls.ends
    for j in range(dimension):
        ends[0, j] += along[j]
        ends[1, j] += y * along[j]
    _pull_rows(grid, grid_row, mixed, pulls.coarse)


@inlined
def _pull_patches(grid: Grid, pairs: Pairs, pulls: Pulls, mixed, along):
    """Fill in the gradient of each feature, hand it on to columns of `mixed`, and add it up."""
    sizes, lows, weights = grid.sizes, grid.columns.low, grid.columns.weights
    column_position = grid.columns.position
    phi, entries, indices, grad = pairs.phi, pairs.entries, pairs.indices, pairs.grad
    finest, by_column = pulls.finest, pulls.ends[2]
    dimension = phi.shape[1]
    zero = finest.dtype.type(0)
    pulled = np.empty(dimension, phi.dtype)
    for column in range(phi.shape[0]):
        query, result = phi[column], finest[column]
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
        x = column_position[column]
        for j in range(dimension):
            along[j] += pulled[j]
            by_column[j] += x * pulled[j]
        start = 0
        for level in range(len(sizes)):
            width = sizes[level, 1]
            low = lows[level, column]
            left, right = mixed[start + low], mixed[start + min(low + 1, width - 1)]
            a, b = weights[level, column]
            for j in range(dimension):
                left[j] += a * pulled[j]
            for j in range(dimension):
                right[j] += b * pulled[j]
            start += width


@inlined
def _pull_rows(grid: Grid, grid_row, mixed, coarse):
    """Hand on what `_mix_rows` has mixed."""
    starts, sizes, lows, weights = grid.starts, grid.sizes, grid.rows.low, grid.rows.weights
    dimension = mixed.shape[1]
    image, row = grid_row // grid.height, grid_row % grid.height
    begin = 0
    for level in range(len(sizes)):
        height, width = sizes[level]
        low = lows[level, row]
        high = min(low + 1, height - 1)
        a, b = weights[level, row]
        start = starts[level] + image * height * width
        for column in range(width):
            above = coarse[start + low * width + column]
            below = coarse[start + high * width + column]
            result = mixed[begin + column]
            for j in range(dimension):
                above[j] += a * result[j]
            for j in range(dimension):
                below[j] += b * result[j]
        begin += width
