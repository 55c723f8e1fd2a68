"""The nearest memory-bank entries of patches: exact, in bounded memory, sparse in gradient."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cfa_lab.errors import UserError

BLOCK_ELEMENTS = 1 << 22
"""Largest number of elements of any intermediate tensor (16 MiB in float32)."""

GROUP = 8
"""Entries that share one minimum while the smallest are sought."""


class Neighbours(NamedTuple):
    """The k nearest entries of q queries, nearest first."""

    indices: Tensor
    """(q, k) int64."""
    squared_distances: Tensor
    """(q, k), never negative."""


class NeighbourSearch:
    """Finds the nearest entries of one memory bank (m, d), which must not change meanwhile.

    Candidates come from |c|^2 / 2 - x . c, which orders entries as distance does. Both sides are
    first shifted by the bank's mean: distances stay the same and less cancels. The distances
    themselves are always sums of squared differences, so none is negative or NaN.
    """

    def __init__(self, bank: Tensor):
        self.bank = bank
        self._mean = bank.mean(0)
        self._shifted = bank - self._mean
        self._half_norms = self._shifted.square().sum(1) / 2  # (m,)

    def nearest(self, queries: Tensor, k: int) -> Neighbours:
        """Search without a graph: queries (q, d) -> the k nearest entries of each."""
        if not 1 <= k <= len(self.bank):
            raise UserError(
                f"{k} neighbours asked of a memory bank of {len(self.bank)} entries; "
                "lower loss.K, loss.J or memory_bank.gamma_c"
            )
        with torch.no_grad():
            widest = max(len(self.bank), k * queries.shape[1])
            blocks = queries.split(max(1, BLOCK_ELEMENTS // widest))
            found = [self._nearest_of_block(block, k) for block in blocks]
        return Neighbours(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _nearest_of_block(self, queries: Tensor, k: int) -> Neighbours:
        order = torch.addmm(self._half_norms, queries - self._mean, self._shifted.T, alpha=-1)
        indices = smallest(order, k)
        squared = (queries.unsqueeze(1) - self.bank[indices]).square().sum(-1)  # (q, k)
        squared, rank = squared.sort(dim=1, stable=True)
        return Neighbours(indices.gather(1, rank), squared)

    def squared_distances(self, queries: Tensor, k: int) -> Tensor:
        """Squared distances (q, k) to the k nearest entries, ascending; differentiable."""
        found = self.nearest(queries.detach(), k)
        distances: Any = _SquaredDistances.apply(queries, self.bank, *found)
        return distances


class _SquaredDistances(torch.autograd.Function):
    """|x - c_k|^2 of entries already found; the gradient touches only them, never the bank."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, bank: Tensor, indices: Tensor, squared: Tensor
    ) -> Tensor:
        ctx.save_for_backward(queries, bank, indices)
        return squared

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads  # (q, k)
        queries, bank, indices = ctx.saved_tensors
        # sum_k 2 g_k (x - c_k), the second part as a weighted gather of bank rows
        entries = functional.embedding_bag(
            indices, bank, per_sample_weights=grad.contiguous(), mode="sum"
        )
        return 2 * (grad.sum(1, keepdim=True) * queries - entries), None, None, None


def smallest(values: Tensor, k: int) -> Tensor:
    """Positions (q, k) of the k smallest values of each row of (q, m), in no particular order.

    The k smallest stand in the k groups with the smallest minima, so most values are only compared
    once, by a minimum that runs at the speed of memory; a full `topk` costs as much as the product.
    """
    num_groups = values.shape[1] // GROUP
    if num_groups <= k:
        return values.topk(k, dim=1, largest=False, sorted=False).indices
    # entry i is in group i % num_groups; the few entries left over are candidates in any case
    grouped = values[:, : GROUP * num_groups].unflatten(1, (GROUP, num_groups))
    best = grouped.amin(1).topk(k, dim=1, largest=False, sorted=False).indices  # (q, k)
    members = torch.arange(GROUP, device=values.device) * num_groups
    candidates = (best.unsqueeze(2) + members).flatten(1)  # (q, k * GROUP)
    rest = torch.arange(GROUP * num_groups, values.shape[1], device=values.device)
    candidates = torch.cat([candidates, rest.expand(len(values), -1)], dim=1)
    chosen = values.gather(1, candidates).topk(k, dim=1, largest=False, sorted=False).indices
    return candidates.gather(1, chosen)
