"""A memory bank of adapted patches, as far from each other as can be: greedy k-centre (ours).

Where the mean map has one average for each position, its entries are real patches of the training
images as the fitted descriptor describes them, and the rare ones are among them.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cfa_lab.errors import UserError
from cfa_lab.method.cpu.coreset import k_centre as compiled_k_centre
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.pyramid import StoredLevel, coordinates, take, upsample
from cfa_lab.progress import phase

CANDIDATES = 40_000
"""At most so many patches, drawn at random, are looked at; more only where more are asked for."""

CANDIDATE_ELEMENTS = 1 << 25
"""Feature values of all candidates, at most (128 MiB in float32), unless more entries are asked."""


@torch.no_grad()
def coreset_bank(
    descriptor: Descriptor, levels: Sequence[StoredLevel], num_entries: int, *, seed: int
) -> Tensor:
    """Entries (num_entries, d), chosen among the patches of pooled maps (n, c_l, h_l, w_l).

    Raises UserError where there are fewer patches than entries.
    """
    with phase("patches to choose from"):
        candidates = draw_patches(levels, descriptor, num_entries, seed=seed)
        phi = torch.addmm(descriptor.bias, candidates, descriptor.weight.T)
        return phi[k_centre(phi, num_entries)]


def draw_patches(
    levels: Sequence[StoredLevel], descriptor: Descriptor, num_entries: int, *, seed: int
) -> Tensor:
    """Seeded candidates (p, columns) among all patches, in a random order, each patch once."""
    weight = descriptor.weight
    height, width = levels[0].shape[-2:]
    num_patches = len(levels[0]) * height * width
    if num_entries > num_patches:
        raise UserError(
            f"memory_bank.entries is {num_entries}; allowed: 1 to {num_patches}, the number of "
            "training patches"
        )
    most = max(num_entries, min(CANDIDATES, CANDIDATE_ELEMENTS // weight.shape[1]))
    rng = np.random.default_rng([seed, num_patches])
    drawn = rng.choice(num_patches, min(most, num_patches), replace=False)
    order = drawn.argsort()
    images, places = np.divmod(drawn[order], height * width)
    out = weight.new_empty(len(drawn), weight.shape[1])
    for image in np.unique(images):
        here = images == image
        pyramid = take(levels, np.array([image]), weight)
        rows = patch_rows(pyramid, torch.from_numpy(places[here]), descriptor.has_coordinates)
        out[torch.from_numpy(order[here]).to(out.device)] = rows
    return out


def patch_rows(pyramid: list[Tensor], places: Tensor, with_coordinates: bool) -> Tensor:
    """The features (p, columns) of some patches of one image (1, c_l, h_l, w_l)."""
    size = (int(pyramid[0].shape[-2]), int(pyramid[0].shape[-1]))
    maps = [upsample(level, size)[0] for level in pyramid]
    if with_coordinates:
        maps.append(coordinates(*size, dtype=maps[0].dtype, device=maps[0].device))
    places = places.to(maps[0].device)
    return torch.cat([level.flatten(1)[:, places] for level in maps]).T


def k_centre(patches: Tensor, num_entries: int) -> Tensor:
    """Indices (m,) of the patches (n, d) that greedy k-centre takes, in the order taken.

    The first patch is the first entry, then always the one farthest from all taken so far, the
    lower index first among equals; no patch twice.
    """
    if patches.device.type == "cpu":
        return compiled_k_centre(patches, num_entries)
    return plain_k_centre(patches, num_entries)


def plain_k_centre(patches: Tensor, num_entries: int) -> Tensor:
    """The same by torch, on any device: one pass over all patches an entry."""
    nearest = patches.new_full((len(patches),), torch.inf)
    chosen = torch.zeros(num_entries, dtype=torch.int64, device=patches.device)
    for number in range(1, num_entries):
        entry = chosen[number - 1]
        nearest = torch.minimum(nearest, (patches - patches[entry]).square().sum(1))
        nearest[entry] = -1
        chosen[number] = nearest.argmax()
    return chosen
