"""What bf16 costs, and whether the hardware at hand gains from it."""

from collections.abc import Generator
from contextlib import contextmanager

import torch

BF16_ROUNDING = 2**-8 * (1 + 2**-7)
"""By how much of a bf16 number the number it was rounded from may differ."""


def multiplies_faster_in_bf16(device: torch.device) -> bool:
    """Whether matrix products in bf16 are much faster here: CPUs with AMX, GPUs since Ampere."""
    if device.type == "cpu":
        return torch.cpu._is_amx_tile_supported()  # pyright: ignore[reportPrivateUsage]
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def float32_convolutions(device: torch.device) -> Generator[None]:
    """Let convolutions multiply in float32: on CUDA, cuDNN takes TF32 (10 bits) unless told not to.

    Matrix products do so anyway. The setting is the process's, and is as it was afterwards.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    kept = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    with cudnn.flags(**kept, allow_tf32=False):
        yield
