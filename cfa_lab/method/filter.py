"""Which memory-bank entries can be among a patch's nearest, told from an inexact product."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from cfa_lab.method.precision import BF16_ROUNDING

BLOCK_ELEMENTS = 1 << 22
"""Largest number of elements of any intermediate tensor (16 MiB in float32)."""


class Neighbours(NamedTuple):
    """The k nearest entries of q queries, nearest first."""

    indices: Tensor
    """(q, k) int64."""
    squared_distances: Tensor
    """(q, k), never negative."""


class CandidateFilter:
    """Orders entries (m, d) by approximate keys |c|^2 / 2 - x . c, and bounds their error.

    The key orders entries as the distance from x does. Both sides are first shifted by the bank's
    mean, which changes no distance and lets less cancel.

    `rounded` takes the products in bf16. Every approximate key is then within e of the true one, so
    the k nearest have keys of at most the k-th smallest approximate key plus 2 e: the `slack`. With
    x~ and c~ the factors as multiplied, |x . c - x~ . c~| <= |x - x~| |c| + |x~| |c - c~|, and sums
    of d products in floating point are off by at most d u |x| |c| (u: the unit roundoff). Where the
    product itself comes in bf16, it is off by `product_rounding` times its value besides.
    """

    def __init__(self, bank: Tensor, *, rounded: bool):
        self.bank = bank
        self.rounded = rounded
        self.mean = bank.mean(0)
        self.shifted = bank - self.mean
        self.half_norms = self.shifted.square().sum(1) / 2  # (m,)
        self.factors = self.as_factors(self.shifted)
        self.product_rounding = BF16_ROUNDING if rounded else 0.0
        unit_roundoff = bank.shape[1] * torch.finfo(bank.dtype).eps / 2
        self._largest = (2 * self.half_norms.max()).sqrt()
        self._per_norm = _norms(self.shifted - self.factors).max() + unit_roundoff * self._largest
        self._constant = unit_roundoff * self.half_norms.max()

    def __len__(self) -> int:
        return len(self.bank)

    def blocks(self, queries: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Portions of queries (q, d): their rows, and their values shifted like the bank."""
        rows = max(1, BLOCK_ELEMENTS // (len(self) + 2 * queries.shape[1]))
        for start in range(0, len(queries), rows):
            part = slice(start, start + rows)
            yield part, queries[part] - self.mean

    def as_factors(self, shifted: Tensor) -> Tensor:
        """Shifted values as they are multiplied: in bf16, or as they are."""
        return shifted.bfloat16() if self.rounded else shifted

    def slack(self, shifted: Tensor, factors: Tensor) -> Tensor:
        """2 e of each of some shifted queries and their factors: (q, d) -> (q,)."""
        error = _norms(shifted) * (1 + BF16_ROUNDING) * self._per_norm
        if self.rounded:
            error += _norms(shifted - factors) * self._largest
        return 2 * (error + self._constant)


def _norms(values: Tensor) -> Tensor:
    return torch.linalg.vector_norm(values, dim=1)
