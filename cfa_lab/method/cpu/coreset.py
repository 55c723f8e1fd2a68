"""Greedy k-centre on a CPU: the same entries as by the plain loop, most distances never taken."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from cfa_lab.method.cpu.compiled import compiled
from cfa_lab.method.cpu.threads import side_by_side
from cfa_lab.progress import phase

BLOCK = 16
"""Dimensions after which a distance that is already too large is given up."""

POOL = 512
"""The entries of a round are chosen among about so many patches, the farthest from all entries."""


def k_centre(patches: Tensor, num_entries: int) -> Tensor:
    """Indices (m,) of the patches (n, d) that greedy k-centre takes, in the order taken.

    The first patch is the first entry, then always the one farthest from all taken so far, the
    lower index first among equals; no patch twice. Distances are those in the basis of the patches'
    principal components, leading ones first, so that those that are too large are soon known to be.

    Entries are chosen in rounds: as long as the farthest of a few patches is farther than any other
    patch was when the round began, it is the farthest of all, since distances to the nearest entry
    only fall. After a round all patches are compared with its entries at once, in torch's threads.
    """
    rotated = patches - patches.mean(0)
    covariance = (rotated.T @ rotated).double()
    basis = torch.linalg.eigh(covariance).eigenvectors.flip(1).to(patches.dtype)
    rows = (rotated @ basis).contiguous().numpy()

    chosen = np.zeros(num_entries, np.int64)
    nearest = np.full(len(rows), np.inf, rows.dtype)
    owner = np.zeros(len(rows), np.int64)
    first, last = 0, 1
    with phase("memory bank", num_entries, "entries") as shown:
        while True:
            _meet_all(rows, nearest, owner, chosen[:last], first)
            shown.reach(last)
            if last == num_entries:
                return torch.from_numpy(chosen)
            pool, others = _split(nearest)
            first, last = last, _choose(rows, pool, nearest[pool], others, chosen, last)


def _split(nearest: np.ndarray) -> tuple[np.ndarray, float]:
    """The patches farthest from their entries, in order, and how far the farthest other one is.

    All that are as far as one of them belong to them, so that the others are less far.
    """
    if len(nearest) <= POOL:
        return np.arange(len(nearest)), -np.inf
    least = np.partition(nearest, -POOL)[-POOL]
    inside = nearest >= least
    return np.flatnonzero(inside), nearest.max(where=~inside, initial=-np.inf)


def _meet_all(
    rows: np.ndarray, nearest: np.ndarray, owner: np.ndarray, entries: np.ndarray, first: int
) -> None:
    """Compare all patches with the entries from `first` on; `nearest` and `owner` change."""
    enough = 4 * nearest.max()
    reach = np.zeros((len(entries) - first, len(entries)), rows.dtype)

    def measure(part: tuple[int, int]) -> None:
        _measure_reach(rows, entries, first, part, enough, reach)

    def meet(part: tuple[int, int]) -> None:
        _meet(rows, part, nearest, owner, entries, first, reach)

    side_by_side(measure, _cut(first, len(entries)), pool="coreset")
    side_by_side(meet, _cut(0, len(rows)), pool="coreset")


def _cut(start: int, stop: int) -> list[tuple[int, int]]:
    """Ranges of about equal length, one for each of torch's threads."""
    ends = np.linspace(start, stop, torch.get_num_threads() + 1).astype(int).tolist()
    return list(pairwise(ends))


@compiled
def _choose(rows, pool, nearest, others, chosen, number):
    """Choose entries from `number` on until the farthest of the pool may not be that of all.

    `nearest` is that of the pool's patches. Returns how many entries there are then.
    """
    while number < len(chosen):
        best = nearest.argmax()  # the first among equals
        if not nearest[best] > others:
            break
        chosen[number] = pool[best]
        entry = rows[pool[best]]
        number += 1
        nearest[best] = -1  # never again
        for i in range(len(pool)):
            distance = _squared_distance(entry, rows[pool[i]], nearest[i])
            if distance < nearest[i]:
                nearest[i] = distance
    return number


@compiled
def _measure_reach(rows, entries, first, part, enough, reach):
    """How near a patch must be to another entry, at least, that a new one may be nearer.

    By the triangle inequality: where the two entries are more than twice the patch's distance
    apart, the new one is farther from the patch than its own. Squared, as all distances here.
    """
    nearly = rows.dtype.type(0.999)  # rounding must not rule a patch out
    for new in range(part[0], part[1]):
        for other in range(new):
            apart = _squared_distance(rows[entries[new]], rows[entries[other]], enough)
            reach[new - first, other] = apart / 4 * nearly


@compiled
def _meet(rows, part, nearest, owner, entries, first, reach):
    for i in range(part[0], part[1]):
        for new in range(first, len(entries)):
            if nearest[i] > reach[new - first, owner[i]]:
                distance = _squared_distance(rows[entries[new]], rows[i], nearest[i])
                if distance < nearest[i]:
                    nearest[i] = distance
                    owner[i] = new
    for new in range(first, len(entries)):
        if part[0] <= entries[new] < part[1]:
            nearest[entries[new]] = -1  # never again


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
