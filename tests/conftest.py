"""What all tests share: a made-up pyramid, and no network, no account, no shared state."""

import os

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from torch import Tensor

torch.set_num_threads(1)


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


def make_pyramid(
    num_images: int = 3,
    channels: tuple[int, ...] = (4, 6, 5),
    grid: tuple[int, int] = (8, 6),
    *,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> list[Tensor]:
    """Random maps (n, c_l, h_l, w_l), each level half the size of the one before."""
    generator = torch.Generator().manual_seed(seed)
    height, width = grid
    return [
        torch.randn(
            num_images,
            count,
            max(1, height >> level),
            max(1, width >> level),
            generator=generator,
            dtype=dtype,
        )
        for level, count in enumerate(channels)
    ]
