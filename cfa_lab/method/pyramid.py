"""The feature pyramid of an image: one map per backbone level, coarser with depth."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Pyramid = Sequence[Tensor]
"""Maps (b, c_l, h_l, w_l) of one batch, finest first."""


class LazyLevel(Protocol):
    """A level that fetches its images when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: np.ndarray | slice, /) -> Tensor: ...


StoredLevel = Tensor | np.ndarray | LazyLevel
"""One level of all images (n, c_l, h_l, w_l): a tensor, an array, a memory map or a lazy one."""


def pool(level: Tensor) -> Tensor:
    """Average every 3 x 3 neighbourhood of a map, its size kept.

    (b, c, h, w) -> (b, c, h, w). The zeros beyond the border count in the mean (authors' code).
    """
    return functional.avg_pool2d(level, kernel_size=3, stride=1, padding=1)


def upsample(level: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a map bilinearly, corners not aligned: (b, c, h_l, w_l) -> (b, c, h, w)."""
    if level.shape[-2:] == size:
        return level
    return functional.interpolate(level, size=size, mode="bilinear", align_corners=False)


def coordinates(
    height: int, width: int, *, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> Tensor:
    """Row and column of every position, each running from -1 to 1: (2, h, w).

    A map of one row (or column) gets 0 there, where the authors' formula divides by zero.
    """

    def axis(length: int) -> Tensor:
        if length == 1:
            return torch.zeros(1, dtype=dtype, device=device)
        return torch.linspace(-1, 1, length, dtype=dtype, device=device)

    return torch.stack(torch.meshgrid(axis(height), axis(width), indexing="ij"))


def patch_grid(pyramid: Pyramid) -> tuple[int, int]:
    """Rows and columns of the patch grid, which is the finest map's."""
    height, width = pyramid[0].shape[-2:]
    return int(height), int(width)


def select(level: StoredLevel, index: np.ndarray | slice) -> Tensor:
    """Some images of a stored level (n, c, h, w)."""
    if isinstance(level, Tensor):
        if isinstance(index, np.ndarray) and len(index) == 1:
            index = slice(int(index[0]), int(index[0]) + 1)  # a view
        if isinstance(index, np.ndarray):
            return level[torch.from_numpy(index).to(level.device)]
        return level[index]
    images = level[index]
    if isinstance(images, Tensor):
        return images
    return torch.from_numpy(np.array(images))  # a copy, since memory maps are read-only


def take(levels: Sequence[StoredLevel], index: np.ndarray, like: Tensor) -> list[Tensor]:
    """The batch (b, c_l, h_l, w_l) of a stored pyramid, in `like`'s dtype, on its device."""
    return [
        select(level, index).to(like).contiguous(memory_format=torch.channels_last)
        for level in levels
    ]
