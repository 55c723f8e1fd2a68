"""Nearest entries on a CPU: the product by torch, the selection and its gradient compiled."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from torch import Tensor

from cfa_lab.method.filter import CandidateFilter, Neighbours
from cfa_lab.method.threads import side_by_side

LANES = 64
"""Groups whose minima bound the k-th smallest key; a constant, so that they stay in registers."""


def nearest(bank_filter: CandidateFilter, queries: Tensor, k: int) -> Neighbours:
    """The k nearest entries of queries (q, d), block by block through one buffer a thread."""
    indices = torch.empty(len(queries), k, dtype=torch.int64)
    squared = torch.empty(len(queries), k, dtype=queries.dtype)
    arrays = [bank_filter.half_norms.numpy(), bank_filter.bank.numpy()]
    rounding = arrays[0].dtype.type(bank_filter.product_rounding)

    def search(queries: Tensor, indices: Tensor, squared: Tensor) -> None:
        buffer: Tensor | None = None
        for part, shifted in bank_filter.blocks(queries):
            factors = bank_filter.as_factors(shifted)
            slack = bank_filter.slack(shifted, factors)
            buffer = factors.new_empty(len(factors), len(bank_filter)) if buffer is None else buffer
            products = torch.mm(factors, bank_filter.factors.T, out=buffer[: len(factors)])
            rows = (_readable(products), slack, queries[part], indices[part], squared[part])
            _select(*(tensor.numpy() for tensor in rows), *arrays, rounding)

    _share_rows(search, queries, indices, squared)
    return Neighbours(indices, squared)


def gradient(queries: Tensor, bank: Tensor, indices: Tensor, grad: Tensor) -> Tensor:
    """The gradient sum_k 2 g_k (x - c_k) of queries (q, d), from that of their distances (q, k)."""
    out = torch.empty_like(queries)

    def pull(*rows: Tensor) -> None:
        _add_pulls(*(tensor.detach().numpy() for tensor in (*rows, bank)))

    _share_rows(pull, queries, indices, grad, out)
    return out


def _share_rows(work: Callable[..., None], *by_row: Tensor) -> None:
    """Work on equal shares of the rows side by side; rows never depend on each other."""
    shares = [rows.tensor_split(torch.get_num_threads()) for rows in by_row]
    with torch.no_grad():
        side_by_side(lambda share: work(*share), list(zip(*shares, strict=True)), pool="rows")


def _readable(products: Tensor) -> Tensor:
    """Products as numpy can hold them: numpy has no bf16, so those go by their bits."""
    return products.view(torch.int16) if products.dtype == torch.bfloat16 else products


def _widen(context: Any, number: Any) -> Any:
    """A float as it is; of a 16-bit integer, the float32 whose upper half it is (bf16)."""
    if not isinstance(number, types.Integer):
        return number(number), lambda context, builder, signature, values: values[0]

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        upper = builder.shl(builder.zext(values[0], ir.IntType(32)), ir.IntType(32)(16))
        return builder.bitcast(upper, ir.FloatType())

    return types.float32(number), generate


_value: Any = intrinsic(_widen)


_compiled: Any = numba.njit(
    nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
)
"""Sums may be taken in any order, so that they are vectorised; infinity and NaN keep their
sense."""


@_compiled
def _select(products, slack, queries, indices, squared, half_norms, bank, rounding):
    """Fill in the nearest entries of each row; see `CandidateFilter` for keys and slack.

    A key may be off by `rounding` times its product, besides the slack. The entries are dealt out
    to lanes. The k-th smallest lane minimum (of keys at their highest) is no less than the k-th
    smallest, so with the slack on top it bounds the keys (at their lowest) of all that can be among
    the nearest; only lanes that reach below it are looked at again.
    """
    num_rows, num_entries = products.shape
    k = indices.shape[1]
    whole = num_entries - num_entries % LANES
    highest = np.empty(LANES, half_norms.dtype)
    lowest = np.empty(LANES, half_norms.dtype)
    smallest = np.empty(k, half_norms.dtype)
    for row in range(num_rows):
        product = products[row]
        highest[:] = np.inf
        lowest[:] = np.inf
        for start in range(0, whole, LANES):
            for lane in range(LANES):
                value = _value(product[start + lane])
                key, error = half_norms[start + lane] - value, rounding * abs(value)
                highest[lane] = key + error if key + error < highest[lane] else highest[lane]
                lowest[lane] = key - error if key - error < lowest[lane] else lowest[lane]
        for lane in range(num_entries - whole):
            value = _value(product[whole + lane])
            key, error = half_norms[whole + lane] - value, rounding * abs(value)
            highest[lane] = key + error if key + error < highest[lane] else highest[lane]
            lowest[lane] = key - error if key - error < lowest[lane] else lowest[lane]

        smallest[:] = np.inf
        for lane in range(LANES):
            key = highest[lane]
            if key < smallest[k - 1]:
                place = k - 1
                while place > 0 and smallest[place - 1] > key:
                    smallest[place] = smallest[place - 1]
                    place -= 1
                smallest[place] = key
        bound = smallest[k - 1] + slack[row]

        indices[row] = 0
        squared[row] = np.nan
        num_found = 0
        query = queries[row]
        for lane in range(LANES):
            if lowest[lane] <= bound:
                for entry in range(lane, num_entries, LANES):
                    value = _value(product[entry])
                    if half_norms[entry] - value - rounding * abs(value) <= bound:
                        centre = bank[entry]
                        distance = half_norms.dtype.type(0)
                        for j in range(query.shape[0]):
                            difference = query[j] - centre[j]
                            distance += difference * difference
                        num_found = _insert(indices[row], squared[row], num_found, entry, distance)


@_compiled
def _insert(indices, squared, num_found, entry, distance):
    """Put an entry in its place among the k nearest so far; returns how many there are now."""
    k = indices.shape[0]
    place = num_found
    while place > 0 and (
        distance < squared[place - 1]
        or (distance == squared[place - 1] and entry < indices[place - 1])
    ):
        place -= 1
    if place >= k:
        return num_found
    num_found = min(num_found + 1, k)
    for later in range(num_found - 1, place, -1):
        squared[later] = squared[later - 1]
        indices[later] = indices[later - 1]
    squared[place] = distance
    indices[place] = entry
    return num_found


@_compiled
def _add_pulls(queries, indices, grad, out, bank):
    for row in range(queries.shape[0]):
        query, result = queries[row], out[row]
        result[:] = 0
        for k in range(indices.shape[1]):
            centre, weight = bank[indices[row, k]], 2 * grad[row, k]
            for j in range(query.shape[0]):
                result[j] += weight * (query[j] - centre[j])
