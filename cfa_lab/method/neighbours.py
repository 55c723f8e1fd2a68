"""The nearest memory-bank entries of patches: exact, in bounded memory, sparse in gradient."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from cfa_lab.errors import UserError
from cfa_lab.method import neighbours_plain
from cfa_lab.method.cpu import neighbours as neighbours_cpu
from cfa_lab.method.cpu.projection import ProjectedBank
from cfa_lab.method.filter import CandidateFilter, Neighbours
from cfa_lab.method.gpu import neighbours as neighbours_gpu
from cfa_lab.method.precision import multiplies_faster_in_bf16

__all__ = ["NeighbourSearch", "Neighbours"]


class NeighbourSearch:
    """Finds the nearest entries of one memory bank (m, d), which must not change meanwhile.

    A matrix product proposes candidates, and a bound on its rounding says how many of them it
    takes to be sure of the nearest; distances of candidates are sums of squared differences in the
    bank's own type, so none is negative or NaN, and they decide. Equal distances go to the lower
    index.

    The product is taken in bf16 where the hardware gains (CPUs with AMX, CUDA), else in the bank's
    own type; the neighbours are the same.
    """

    def __init__(self, bank: Tensor):
        self.bank = bank
        self.rounded = _gains_from_rounding(bank)
        self._nearest: Callable[[Tensor, int], Neighbours]
        if bank.device.type == "cpu":
            self._nearest = partial(
                neighbours_cpu.nearest, ProjectedBank(bank, rounded=self.rounded)
            )
        else:
            way = neighbours_gpu if self.rounded else neighbours_plain
            self._nearest = partial(way.nearest, CandidateFilter(bank, rounded=self.rounded))

    @torch.no_grad()
    def nearest(self, queries: Tensor, k: int) -> Neighbours:
        """Search without a graph: queries (q, d) -> the k nearest entries of each."""
        if not 1 <= k <= len(self.bank):
            raise UserError(
                f"{k} neighbours asked of a memory bank of {len(self.bank)} entries; "
                "lower loss.K, loss.J or memory_bank.gamma_c"
            )
        return self._nearest(queries.contiguous(), k)

    def squared_distances(self, queries: Tensor, k: int) -> Tensor:
        """Squared distances (q, k) to the k nearest entries, ascending, differentiable in queries.

        The gradient reaches the queries only, through the entries found; the bank is constant.
        """
        queries = queries.contiguous()
        return _SquaredDistances.apply(queries, self.bank, *self.nearest(queries, k))


def _gains_from_rounding(bank: Tensor) -> bool:
    can_select = bank.device.type == "cpu" or neighbours_gpu.is_available()
    return bank.dtype == torch.float32 and can_select and multiplies_faster_in_bf16(bank.device)


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
        queries, bank, indices = ctx.saved_tensors
        grad = grads[0].contiguous()  # (q, k)
        on_cpu = queries.device.type == "cpu"
        gradient = neighbours_cpu.gradient if on_cpu else plain_gradient
        return gradient(queries, bank, indices, grad), None, None, None


def plain_gradient(queries: Tensor, bank: Tensor, indices: Tensor, grad: Tensor) -> Tensor:
    """The gradient of queries (q, d) from that of their distances (q, k), for any device.

    sum_k 2 g_k (x - c_k), the second part as a weighted gather of bank rows.
    """
    entries = functional.embedding_bag(indices, bank, per_sample_weights=grad, mode="sum")
    return 2 * (grad.sum(1, keepdim=True) * queries - entries)


def measurable(vectors: Tensor) -> Tensor:
    """Which vectors (n, d) have finite distances to each other: (n,) bool."""
    limit = torch.finfo(vectors.dtype).max / 8  # |x - c|^2 <= 2 |x|^2 + 2 |c|^2, with room to round
    return torch.linalg.vector_norm(vectors, dim=1).square() < limit
