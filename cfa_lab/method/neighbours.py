"""The nearest memory-bank entries of patches: exact, in bounded memory, sparse in gradient."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cfa_lab.errors import UserError

BLOCK_ELEMENTS = 1 << 22
"""Largest number of elements of any intermediate tensor (16 MiB in float32)."""

CACHE_ELEMENTS = 1 << 18
"""Elements of the differences taken at once on a CPU: 1 MiB in float32, a core's cache."""

SPARE_CANDIDATES = 10
"""Candidates beyond those asked for where products are rounded."""

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

    `precision`: `exact` takes the products in the bank's own type. `fast` takes them in bf16 (CPUs
    with AMX) or TF32 (CUDA), keeps a few candidates more than asked for, and lets their exact
    distances decide; elsewhere it is `exact`, since nothing would be gained.
    """

    def __init__(self, bank: Tensor, *, precision: str = "exact"):
        self.bank = bank
        self._mean = bank.mean(0)
        self._shifted = bank - self._mean
        self._half_norms = self._shifted.square().sum(1) / 2  # (m,)
        self._reduced = precision == "fast" and _multiplies_faster_in_low_precision(bank.device)

    def nearest(self, queries: Tensor, k: int) -> Neighbours:
        """Search without a graph: queries (q, d) -> the k nearest entries of each."""
        if not 1 <= k <= len(self.bank):
            raise UserError(
                f"{k} neighbours asked of a memory bank of {len(self.bank)} entries; "
                "lower loss.K, loss.J or memory_bank.gamma_c"
            )
        num_candidates = min(k + SPARE_CANDIDATES, len(self.bank)) if self._reduced else k
        with torch.no_grad():
            blocks = queries.split(_rows(len(self.bank)))
            candidates = [self._candidates(block, num_candidates) for block in blocks]
            found = _refine(queries, self.bank, torch.cat(candidates))
        return Neighbours(found.indices[:, :k], found.squared_distances[:, :k])

    def _candidates(self, queries: Tensor, count: int) -> Tensor:
        with _low_precision_products() if self._reduced else nullcontext():
            order = torch.addmm(self._half_norms, queries - self._mean, self._shifted.T, alpha=-1)
        return smallest(order, count)

    def squared_distances(self, queries: Tensor, k: int) -> Tensor:
        """Squared distances (q, k) to the k nearest entries, ascending; differentiable."""
        found = self.nearest(queries.detach(), k)
        distances: Any = _SquaredDistances.apply(queries, self.bank, *found)
        return distances


def _rows(row_length: int, *, elements: int | None = None) -> int:
    """How many rows of a length make a block."""
    return max(1, (BLOCK_ELEMENTS if elements is None else elements) // row_length)


def _refine(queries: Tensor, bank: Tensor, candidates: Tensor) -> Neighbours:
    """Order candidates (q, k) by their exact distances, in blocks that stay in a core's cache."""
    rows = _rows(candidates.shape[1] * queries.shape[1], elements=CACHE_ELEMENTS)
    if queries.is_cuda:
        rows = _rows(candidates.shape[1] * queries.shape[1])
    squared = torch.cat(
        [
            (block.unsqueeze(1) - bank[indices]).square().sum(-1)  # (rows, k)
            for block, indices in zip(queries.split(rows), candidates.split(rows), strict=True)
        ]
    )
    squared, rank = squared.sort(dim=1, stable=True)
    return Neighbours(candidates.gather(1, rank), squared)


def _multiplies_faster_in_low_precision(device: torch.device) -> bool:
    if device.type == "cuda":
        return True
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()


@contextmanager
def _low_precision_products() -> Iterator[None]:
    """Let float32 matrix products round their factors: to bf16 on a CPU, to TF32 on CUDA."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


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
