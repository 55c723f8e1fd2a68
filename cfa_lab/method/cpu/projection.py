"""Distances to all entries of a memory bank, nearly: by few numbers of each, and with a bound."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cfa_lab.method.cpu.compiled import as_array, compiled, narrow, widen
from cfa_lab.method.precision import BF16_ROUNDING

NUM_COMPONENTS = (96, 160, 224)
"""Principal components that may stand for an entry: with their corrections and norms a multiple of
32 columns, which is what matrix units multiply at a time."""

NUM_CORRECTED = 14
"""Leading components that are multiplied almost exactly in spite of bf16 factors."""

REST = 1 / 64
"""Components are enough where no entry has more than this of the largest norm besides them."""


ITERATIONS = 2


class Bounds(NamedTuple):
    """What the error of a half squared distance from a query x is made of, as numbers."""

    largest: Any
    """The largest |c|^2 / 2 of the entries."""
    relative: Any
    """Times |x|^2 / 2 + `largest`: rounding of sums and of leading components."""
    uncorrected: Any
    """Times the norm of x's components that are not corrected: their rounding to bf16."""
    drift: Any
    """Times |x|: the components of the entries are not quite theirs."""
    rest: Any
    """Times the norm of x's rest: what no component holds of an entry, at most."""
    slip: Any
    """Times |x|^2: what x's rest may be larger by, squared."""


class ProjectedBank:
    """Approximate half squared distances |x - c|^2 / 2 from the entries (m, d), as one product.

    Both sides are shifted by the bank's mean, which changes no distance. |x - c|^2 / 2 is
    |x|^2 / 2 + |c|^2 / 2 - x . c, and x . c is taken in the span of the bank's leading principal
    components: for y = Q^T x, |x . c - y_x . y_c| <= |rest of x| |rest of c|, and the rest of the
    entries is next to nothing, since they are means over neighbouring features. Norms are further
    columns, so the product of both sides' factors is the half squared distance itself. Rows of
    `factors` are in an `order` of no meaning: neighbouring entries are alike, which would make
    every group of them the same.

    `rounded` takes factors and product in bf16. The leading components then enter as sums of two
    bf16 numbers each. `factors_of` tells each query's bound on all errors but the product's own
    rounding, which is at most `product_rounding` times its value. It follows from two facts: a sum
    of d products of floating-point numbers is off by at most d u |x| |c| (u: the unit roundoff),
    and a bf16 number by 2^-8 of itself.
    """

    def __init__(self, bank: Tensor, *, rounded: bool):
        self.bank = bank = bank.contiguous()
        self.rounded = rounded
        self.mean = bank.mean(0)
        self.shifted = bank - self.mean
        self.product_rounding = BF16_ROUNDING if rounded else 0.0
        self.basis = _basis(self.shifted)  # (d, p), or None for all dimensions as they are
        unit = torch.finfo(bank.dtype).eps / 2
        reduced, rest, drift = self.shifted, bank.new_zeros(len(bank)), 0.0
        if self.basis is not None:
            basis = self.basis.double()
            reduced = (self.shifted.double() @ basis).to(bank.dtype)
            rest = (self.shifted - reduced @ self.basis.T).norm(dim=1)
            skew = float((basis.T @ basis - torch.eye(basis.shape[1])).norm())
            drift = bank.shape[1] * unit * math.sqrt(basis.shape[1]) + 3 * skew
        num_components = reduced.shape[1]
        self._corrected = min(NUM_CORRECTED, num_components) if rounded else 0
        width = _width(num_components, self._corrected)
        half_norms = self.shifted.square().sum(1) / 2
        norm = (2 * half_norms.max()).sqrt()
        uncorrected = reduced[:, self._corrected :].norm(dim=1).max() if rounded else norm * 0
        relative = (2.2 * width + bank.shape[1]) * unit + (4.1 * 2**-16 if rounded else 0)
        bounds = Bounds(
            largest=half_norms.max(),
            relative=relative,
            uncorrected=2.01 * 2**-8 * uncorrected,
            drift=drift * norm,
            rest=rest.max() + drift * norm,
            slip=2 * drift,
        )
        scalar = bank.numpy().dtype.type
        self._bounds = Bounds(*(scalar(float(value)) for value in bounds))
        self.factors = bank.new_zeros(
            len(bank), width, dtype=torch.bfloat16 if rounded else bank.dtype
        )
        self.order = torch.randperm(len(bank), generator=torch.Generator().manual_seed(0))
        self.spared = (rest.max() - rest)[self.order]  # (m,), by column of the product
        numbers = (reduced[self.order], half_norms[self.order])
        _write_entries(self.factors, *numbers, self._corrected)

    def __len__(self) -> int:
        return len(self.bank)

    def factors_of(self, shifted: Tensor) -> tuple[Tensor, Tensor]:
        """Factors (q, columns) of queries (q, d) shifted by the mean, and their errors (q, 2).

        These are the bound for any entry, NaN or infinite where the query is, and the norm of the
        query's rest: for an entry in column i the bound is `spared[i]` times that lower.
        """
        factors = self.factors.new_empty(len(shifted), self.factors.shape[1])
        errors = shifted.new_empty(len(shifted), 2)
        reduced = shifted if self.basis is None else shifted @ self.basis
        arrays = (as_array(tensor) for tensor in (shifted, reduced, factors, errors))
        _write_queries(*arrays, self._bounds, self._corrected)
        return factors, errors


def _width(num_components: int, num_corrected: int) -> int:
    """Columns of the factors: components, corrections twice, two norms as sums of two numbers."""
    if not num_corrected:
        return num_components + 2
    return -(-(num_components + 2 * num_corrected + 4) // 32) * 32


def _basis(shifted: Tensor) -> Tensor | None:
    """An orthonormal basis (d, p) near the leading principal components; None if too many count.

    By subspace iteration from a fixed start; any basis is right, a better one is faster.
    """
    dimension = shifted.shape[1]
    counts = [min(count, dimension) for count in NUM_COMPONENTS]
    if not shifted.isfinite().all():
        return None
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(dimension, counts[-1], generator=generator).to(shifted)
    basis = torch.linalg.qr(start).Q
    for _ in range(ITERATIONS):
        basis = torch.linalg.qr(shifted.T @ (shifted @ basis)).Q
    reduced = shifted @ basis
    directions = torch.linalg.eigh(reduced.T @ reduced).eigenvectors.flip(1)  # leading ones first
    basis = basis @ directions
    kept = (reduced @ directions).square().cumsum(1)  # (m, most)
    norms = shifted.square().sum(1)
    allowed = REST**2 * norms.max()
    for count in counts:
        if (norms - kept[:, count - 1]).max() <= allowed:
            return basis[:, :count].contiguous()
    return None


def _write_entries(
    factors: Tensor, reduced: Tensor, half_norms: Tensor, num_corrected: int
) -> None:
    """The columns of the entries: what `_write_queries` writes, for the other side."""
    p, s = reduced.shape[1], num_corrected
    factors[:, :p] = -reduced
    if not s:
        factors[:, p], factors[:, p + 1] = half_norms, 1
        return
    factors[:, p : p + s] = factors[:, :s]
    factors[:, p + s : p + 2 * s] = -reduced[:, :s] - factors[:, :s].to(reduced)
    factors[:, p + 2 * s] = half_norms
    factors[:, p + 2 * s + 1] = half_norms - factors[:, p + 2 * s].to(reduced)
    factors[:, p + 2 * s + 2 : p + 2 * s + 4] = 1


@compiled
def _write_queries(shifted, reduced, factors, errors, bounds: Bounds, num_corrected):
    p, s = reduced.shape[1], num_corrected
    number, zero = shifted.dtype.type, factors.dtype.type(0)
    one = narrow(number(1), zero)
    for row in range(shifted.shape[0]):
        query, numbers, out = shifted[row], reduced[row], factors[row]
        square = number(0)
        for j in range(query.shape[0]):
            square += query[j] * query[j]
        kept = number(0)
        for j in range(p):
            kept += numbers[j] * numbers[j]
        for j in range(p):
            out[j] = narrow(numbers[j], zero)
        half = square / 2
        leading = number(0)
        for j in range(s):
            leading += numbers[j] * numbers[j]
            out[p + j] = narrow(numbers[j] - widen(out[j]), zero)
            out[p + s + j] = out[j]
        if s:
            for j in range(p + 2 * s, factors.shape[1]):
                out[j] = 0
            out[p + 2 * s] = one
            out[p + 2 * s + 1] = one
            out[p + 2 * s + 2] = narrow(half, zero)
            out[p + 2 * s + 3] = narrow(half - widen(out[p + 2 * s + 2]), zero)
        else:
            out[p] = one
            out[p + 1] = narrow(half, zero)
        norm = np.sqrt(square)
        error = bounds.relative * (half + bounds.largest) + bounds.drift * norm
        error += bounds.uncorrected * np.sqrt(max(kept - leading, 0) + bounds.relative * square)
        beyond = np.sqrt(max(square - kept, 0) + bounds.slip * square)
        errors[row, 0] = (error + bounds.rest * beyond) * number(1.01)
        errors[row, 1] = beyond
