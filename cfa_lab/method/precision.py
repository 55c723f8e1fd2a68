"""What bf16 costs, and whether the hardware at hand gains from it."""

import warnings
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
def float32_products() -> Generator[None]:
    """Let matrix products be float32 whatever `torch.set_float32_matmul_precision` was told.

    On CPUs with AMX `medium` makes torch's products, and its `cdist`, bf16: scores would depend on
    a setting that another library may have made. It is as it was afterwards. Also a decorator.
    """
    with warnings.catch_warnings():
        # torch 2.9 warns of both calls where the new settings were used, and has no others for CPUs
        warnings.filterwarnings("ignore", "Please use the new API settings", UserWarning)
        kept = torch.get_float32_matmul_precision()
        if kept != "highest":
            torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if kept != "highest":
            torch.set_float32_matmul_precision(kept)


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
