"""Nearest entries on a CPU: the product by torch, the selection and its gradient compiled."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cfa_lab.method import filter as candidate_filter
from cfa_lab.method.cpu.compiled import as_array, as_arrays, compiled
from cfa_lab.method.cpu.projection import ProjectedBank
from cfa_lab.method.cpu.selection import Found, Margins, Proposals, Rules, select_rows
from cfa_lab.method.cpu.threads import side_by_side
from cfa_lab.method.filter import Neighbours


def nearest(bank: ProjectedBank, queries: Tensor, k: int) -> Neighbours:
    """The k nearest entries of queries (q, d), block by block through one buffer a thread."""
    found = Neighbours(
        torch.empty(len(queries), k, dtype=torch.int64),
        torch.empty(len(queries), k, dtype=queries.dtype),
    )
    rules = rules_of(bank, bank.bank)

    def search(queries: Tensor, *found: Tensor) -> None:
        rows = max(1, candidate_filter.BLOCK_ELEMENTS // (len(bank) + 2 * queries.shape[1]))
        buffer = bank.factors.new_empty(min(rows, len(queries)), len(bank))
        for part, *own in zip(*(tensor.split(rows) for tensor in (queries, *found)), strict=True):
            proposals = propose(bank, part - bank.mean, buffer[: len(part)])
            select_rows(as_array(part), as_arrays(proposals), rules, as_arrays(Found(*own)))

    share_rows(search, queries, *found)
    return found


def propose(bank: ProjectedBank, shifted: Tensor, out: Tensor) -> Proposals:
    """Proposals for queries (q, d) shifted by the bank's mean, their values in `out` (q, m)."""
    factors, errors = bank.factors_of(shifted)
    return Proposals(torch.mm(factors, bank.factors.T, out=out), errors)


def rules_of(bank: ProjectedBank, entries: Tensor) -> Rules:
    """How neighbours are selected among a bank's entries (m, d), shifted or not."""
    scalar, value = entries.numpy().dtype.type, as_array(bank.factors).dtype.type
    return Rules(
        entries=entries.numpy(),
        order=bank.order.numpy(),
        spared=bank.spared.numpy(),
        margins=Margins(
            value=scalar(bank.product_rounding),
            distance=scalar(1 + 2 * (entries.shape[1] + 4) * torch.finfo(entries.dtype).eps),
            none=value(np.iinfo(value).max if bank.rounded else np.inf),
        ),
    )


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
def _add_pulls(queries, indices, grad, out, bank):
    for row in range(queries.shape[0]):
        query, result = queries[row], out[row]
        result[:] = 0
        for k in range(indices.shape[1]):
            centre, weight = bank[indices[row, k]], 2 * grad[row, k]
            for j in range(query.shape[0]):
                result[j] += weight * (query[j] - centre[j])
