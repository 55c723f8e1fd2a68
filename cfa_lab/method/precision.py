"""Which arithmetic the hardware at hand gains from."""

import torch


def multiplies_faster_in_bf16(device: torch.device) -> bool:
    """Whether matrix products in bf16 are much faster here: CPUs with AMX, GPUs since Ampere."""
    if device.type == "cpu":
        return torch.cpu._is_amx_tile_supported()
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
