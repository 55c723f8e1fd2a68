"""Greedy k-centre on a CPU: the same entries as by the plain loop, most distances never taken."""

import numpy as np
import torch
from torch import Tensor

from cfa_lab.method.cpu.compiled import compiled

BLOCK = 16
"""Dimensions after which a distance that is already too large is given up."""


def k_centre(patches: Tensor, num_entries: int) -> Tensor:
    """Indices (m,) of the patches (n, d) that greedy k-centre takes, in the order taken.

    The first patch is the first entry, then always the one farthest from all taken so far, the
    lower index first among equals; no patch twice. Distances are those in the basis of the patches'
    principal components, leading ones first, so that those that are too large are soon known to be.
    """
    rotated = patches - patches.mean(0)
    covariance = (rotated.T @ rotated).double()
    basis = torch.linalg.eigh(covariance).eigenvectors.flip(1).to(patches.dtype)
    rotated = (rotated @ basis).contiguous()
    chosen = torch.empty(num_entries, dtype=torch.int64)
    _choose(rotated.numpy(), chosen.numpy())
    return chosen


@compiled
def _choose(patches, chosen):
    """A patch may come nearer by a new entry only if its own entry is not far from that one.

    By the triangle inequality: where the two entries are more than twice the patch's distance
    apart, the new one is farther from the patch than its own.
    """
    num_patches = len(patches)
    scalar = patches.dtype.type
    nearest = np.full(num_patches, np.inf, patches.dtype)
    owner = np.zeros(num_patches, np.int64)
    reach = np.zeros(len(chosen), patches.dtype)
    best, farthest = 0, scalar(np.inf)
    for number in range(len(chosen)):
        chosen[number] = best
        entry = patches[best]
        for other in range(number):
            apart = _squared_distance(entry, patches[chosen[other]], 4 * farthest)
            reach[other] = apart / 4 * scalar(0.999)  # rounding must not rule a patch out
        nearest[best] = -1  # never again
        farthest = scalar(-2)
        for i in range(num_patches):
            limit = nearest[i]
            if limit > reach[owner[i]]:
                distance = _squared_distance(entry, patches[i], limit)
                if distance < limit:
                    nearest[i] = limit = distance
                    owner[i] = number
            if limit > farthest:
                farthest = limit
                best = i


@compiled
def _squared_distance(one, other, enough):
    """The squared distance of two patches, or some number of at least `enough` below it."""
    distance = one.dtype.type(0)
    start = 0
    while start < len(one) and distance < enough:
        part = one.dtype.type(0)
        for j in range(start, min(start + BLOCK, len(one))):
            difference = one[j] - other[j]
            part += difference * difference
        distance += part
        start += BLOCK
    return distance
