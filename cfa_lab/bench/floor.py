"""The least a training step could take here: its products and its bytes, at torch's rates."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from cfa_lab.bench.clock import median_seconds

PASSES = 5
"""Times the patch features cross memory: written, read by search and gradient, and back."""


def floor_of(
    channels: Sequence[int],
    size: tuple[int, int],
    *,
    rounded: bool,
    descriptor_rounded: bool = False,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """Seconds per image of what a step cannot do without, each measured with torch as it is.

    `search`: the product of all patches with all entries (in bf16 where `rounded`); `descriptor`:
    each level's product forward and for the weight gradient, at its own resolution, in bf16 where
    `descriptor_rounded`; `bytes`: the
    patch features, copied `PASSES / 2` times. Selection, upsampling and loss are not in it. On the
    CPU unless a device is given.
    """
    device = device or torch.device("cpu")
    seconds = partial(median_seconds, device=device, repeats=7)
    dimension = sum(channels)
    grids = [tuple((side // 4) >> level for side in size) for level in range(len(channels))]
    num_patches = grids[0][0] * grids[0][1]
    phi = torch.randn(num_patches, dimension, device=device)
    factors = phi.bfloat16() if rounded else phi
    search = seconds(lambda: factors @ factors.T)
    descriptor = 0.0
    for count, (height, width) in zip(channels, grids, strict=True):
        shapes = ((height * width, count), (height * width, dimension), (dimension, count))
        dtype = torch.bfloat16 if descriptor_rounded else torch.float32
        level, out, weight = (torch.randn(*shape, device=device).to(dtype) for shape in shapes)
        descriptor += seconds(lambda x=level, w=weight: x @ w.T)
        descriptor += seconds(lambda x=level, g=out: x.T @ g)
    target = torch.empty_like(phi)
    moved = seconds(lambda: target.copy_(phi)) * PASSES / 2
    return {
        "seconds_per_image": search + descriptor + moved,
        "search": search,
        "descriptor": descriptor,
        "bytes": moved,
        "search_tflops": 2 * num_patches**2 * dimension / search / 1e12,
        "copy_gb_per_second": 2 * phi.nbytes / (moved / PASSES * 2) / 1e9,
    }
