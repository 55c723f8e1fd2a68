"""Sums over patches of their features and of the features' products, taken level by level."""

from functools import lru_cache

import torch
from torch import Tensor

from cfa_lab.method.levelwise import upsampling_matrix
from cfa_lab.method.pyramid import Pyramid, coordinates, patch_grid

Size = tuple[int, int]


def feature_sums(pyramid: Pyramid, *, with_coordinates: bool) -> tuple[Tensor, Tensor]:
    """Over all patches p of pooled maps (b, c_l, h_l, w_l): sum p, and sum p p^T.

    Returns (columns,) and (columns, columns), float64, in the order of a descriptor's columns.
    Products are taken in the maps' own type. No level is upsampled: upsampling is linear, so the
    block of two levels, up(P_a)^T up(P_b), is a product at the coarser one's resolution of P_b and
    what the transpose of its upsampling makes of up(P_a) (ours).
    """
    grid = patch_grid(pyramid)
    maps = [level.movedim(1, -1) for level in pyramid]  # (b, h_l, w_l, c_l)
    if with_coordinates:
        first = maps[0]
        position = coordinates(*grid, dtype=first.dtype, device=first.device).movedim(0, -1)
        maps.append(position.expand(len(first), *position.shape))
    ends = torch.tensor([level.shape[-1] for level in maps]).cumsum(0).tolist()
    columns = [slice(end - level.shape[-1], end) for level, end in zip(maps, ends, strict=True)]
    total = maps[0].new_zeros(ends[-1], dtype=torch.float64)
    products = maps[0].new_zeros(ends[-1], ends[-1], dtype=torch.float64)
    for own, level in zip(columns, maps, strict=True):
        total[own] = _pull(level, grid, (1, 1)).sum((0, 1, 2))
    for i, level in enumerate(maps):
        for j, other in enumerate(maps[: i + 1]):
            if level[0].numel() // level.shape[-1] > other[0].numel() // other.shape[-1]:
                block = other.flatten(0, 2).T @ _pull(level, grid, _size(other)).flatten(0, 2)
            else:
                block = _pull(other, grid, _size(level)).flatten(0, 2).T @ level.flatten(0, 2)
            products[columns[j], columns[i]] = block.double()
            products[columns[i], columns[j]] = block.T.double()
    return total, products


def _size(level: Tensor) -> Size:
    return int(level.shape[1]), int(level.shape[2])


def _pull(level: Tensor, grid: Size, size: Size) -> Tensor:
    """A map (b, h_l, w_l, c), upsampled to the grid and pulled back to a coarser size."""
    own = _size(level)
    if own == size == grid:
        return level
    rows, columns = (
        _pull_matrix(own[axis], grid[axis], size[axis], level.dtype, level.device)
        for axis in (0, 1)
    )
    pulled = rows @ level.flatten(2)  # (b, h, w_l * c)
    return columns @ pulled.unflatten(2, level.shape[2:])


@lru_cache(maxsize=64)  # the same few sizes for every image of a run
def _pull_matrix(
    length: int, full: int, size: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """The matrix (size, length): upsampling to `full`, then the transpose of upsampling `size`."""
    up, down = (upsampling_matrix(n, full, torch.float64, device) for n in (length, size))
    return (down.T @ up).to(dtype)
