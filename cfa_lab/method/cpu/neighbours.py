"""Nearest entries on a CPU: the product by torch, the selection and its gradient compiled."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfa_lab.method import filter as candidate_filter
from cfa_lab.method.cpu.compiled import as_array, compiled, narrow_up, widen
from cfa_lab.method.cpu.projection import ProjectedBank
from cfa_lab.method.cpu.threads import side_by_side
from cfa_lab.method.filter import Neighbours

LANES = 64
"""Groups whose minima bound the k-th smallest value."""

PARTS = 8
"""Parts of each lane, with minima of their own, so that little is read again."""


def nearest(bank: ProjectedBank, queries: Tensor, k: int) -> Neighbours:
    """The k nearest entries of queries (q, d), block by block through one buffer a thread."""
    found = Neighbours(
        torch.empty(len(queries), k, dtype=torch.int64),
        torch.empty(len(queries), k, dtype=queries.dtype),
    )
    entries, how = bank.bank.numpy(), rules(bank)

    def search(queries: Tensor, *found: Tensor) -> None:
        rows = max(1, candidate_filter.BLOCK_ELEMENTS // (len(bank) + 2 * queries.shape[1]))
        buffer = bank.factors.new_empty(min(rows, len(queries)), len(bank))
        for part in zip(*(tensor.split(rows) for tensor in (queries, *found)), strict=True):
            errors, products = propose(bank, part[0] - bank.mean, buffer[: len(part[0])])
            select_rows(*(as_array(tensor) for tensor in (products, errors, *part)), entries, *how)

    share_rows(search, queries, *found)
    return found


def propose(bank: ProjectedBank, shifted: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """The errors (q, 2) of half squared distances (q, m), and these, in `out`; see the bank."""
    factors, errors = bank.factors_of(shifted)
    return errors, torch.mm(factors, bank.factors.T, out=out)


def rules(bank: ProjectedBank) -> tuple[Any, ...]:
    """The last arguments of `select_rows`: order, spared, rounding, margin, none."""
    scalar, value = bank.bank.numpy().dtype.type, as_array(bank.factors).dtype.type
    margin = 1 + 2 * (bank.bank.shape[1] + 4) * torch.finfo(bank.bank.dtype).eps
    none = value(np.iinfo(value).max if bank.rounded else np.inf)
    given = (scalar(bank.product_rounding), scalar(margin), none)
    return bank.order.numpy(), bank.spared.numpy(), *given


def gradient(queries: Tensor, bank: Tensor, indices: Tensor, grad: Tensor) -> Tensor:
    """The gradient sum_k 2 g_k (x - c_k) of queries (q, d), from that of their distances (q, k)."""
    out = torch.empty_like(queries)

    def pull(*rows: Tensor) -> None:
        _add_pulls(*(tensor.detach().numpy() for tensor in (*rows, bank)))

    share_rows(pull, queries, indices, grad, out)
    return out


def share_rows(work: Callable[..., None], *by_row: Tensor) -> None:
    """Work on equal shares of the rows side by side; rows never depend on each other."""
    shares = [rows.tensor_split(torch.get_num_threads()) for rows in by_row]
    with torch.no_grad():
        side_by_side(lambda share: work(*share), list(zip(*shares, strict=True)), pool="rows")


@compiled
def select_rows(
    products, errors, queries, indices, squared, entries, order, spared, rounding, margin, none
):
    """Fill in the nearest entries of each row from approximate half squared distances.

    They may be off by `rounding` times themselves, besides each row's error bound (which is
    `spared` times `errors[row, 1]` lower for each entry). Entries are dealt out to lanes. The k-th
    smallest lane minimum is no less than the k-th smallest value, so it bounds, errors on top, the
    values of all that can be among the nearest; only lanes that reach below it are looked at again.
    Of these entries, those at most the k-th minimum are compared first; the k-th distance found
    then rules out most others. `margin` is what rounding may do to a distance, `none` the largest
    value there is; `order` names the entry of each column. bf16 values are compared by their bits,
    whose order is that of numbers from 0 on; negative ones (errors of a distance near 0) come
    before all others.
    """
    num_rows, num_entries = products.shape
    k = indices.shape[1]
    stride = LANES * PARTS
    whole = num_entries - num_entries % stride
    parts = np.empty(stride, products.dtype)
    lanes = np.empty(LANES, products.dtype)
    smallest = np.empty(k, products.dtype)
    within, first, others = np.empty((3, num_entries), np.int64)
    for row in range(num_rows):
        error, beyond = errors[row]
        if not np.isfinite(error):
            indices[row] = 0
            squared[row] = np.nan
            continue
        product, query = products[row], queries[row]
        own_indices, own_squared = indices[row], squared[row]
        parts[:] = none
        for start in range(0, whole, stride):
            for part in range(stride):
                value = product[start + part]
                parts[part] = value if value < parts[part] else parts[part]
        for part in range(num_entries - whole):
            value = product[whole + part]
            parts[part] = value if value < parts[part] else parts[part]
        lanes[:] = parts[:LANES]
        for start in range(LANES, stride, LANES):
            for lane in range(LANES):
                value = parts[start + lane]
                lanes[lane] = value if value < lanes[lane] else lanes[lane]

        smallest[:] = none
        for lane in range(LANES):
            value = lanes[lane]
            if value < smallest[k - 1]:
                place = k - 1
                while place > 0 and smallest[place - 1] > value:
                    smallest[place] = smallest[place - 1]
                    place -= 1
                smallest[place] = value
        kth = smallest[k - 1]
        bound = none
        if kth < none:
            value = widen(kth) if kth > 0 else errors.dtype.type(0)
            reach = (value * (1 + rounding) + 2 * error) * margin
            bound = narrow_up(reach * (1 + 2 * rounding), none)

        num_within = 0
        for lane in range(LANES):
            if lanes[lane] <= bound:
                for part in range(lane, stride, LANES):
                    if parts[part] <= bound:
                        for entry in range(part, num_entries, stride):
                            within[num_within] = entry
                            num_within += product[entry] <= bound
        num_first, num_others = 0, 0
        for i in range(num_within):
            entry = within[i]
            first[num_first] = entry
            others[num_others] = entry
            num_first += product[entry] <= kth
            num_others += product[entry] > kth

        own_indices[:] = 0
        own_squared[:] = np.nan
        num_found = 0
        for i in range(num_first):
            entry = order[first[i]]
            distance = _distance(query, entries, entry)
            num_found = _insert(own_indices, own_squared, num_found, entry, distance)
        limit = own_squared[k - 1] * margin
        for i in range(num_others):
            column = others[i]
            value = widen(product[column])
            own_error = error - beyond * spared[column]
            if not 2 * (value - rounding * abs(value) - own_error) > limit:
                entry = order[column]
                distance = _distance(query, entries, entry)
                num_found = _insert(own_indices, own_squared, num_found, entry, distance)
                limit = own_squared[k - 1] * margin


@compiled
def _distance(query, entries, entry):
    distance = query.dtype.type(0)
    for j in range(query.shape[0]):
        difference = query[j] - entries[entry, j]
        distance += difference * difference
    return distance


@compiled
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


@compiled
def _add_pulls(queries, indices, grad, out, bank):
    for row in range(queries.shape[0]):
        query, result = queries[row], out[row]
        result[:] = 0
        for k in range(indices.shape[1]):
            centre, weight = bank[indices[row, k]], 2 * grad[row, k]
            for j in range(query.shape[0]):
                result[j] += weight * (query[j] - centre[j])
