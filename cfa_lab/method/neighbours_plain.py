"""Nearest entries in plain torch: for any device, and for rows that a faster way gives up."""

import torch
from torch import Tensor

from cfa_lab.method import filter as candidate_filter
from cfa_lab.method.filter import CandidateFilter, Neighbours

SPARE_CANDIDATES = 10
"""Candidates beyond those asked for; rows that need more are compared with every entry."""

ROWS_COMPARED_WITH_ALL = 256
"""Of those rows, so many at once."""


def nearest(bank_filter: CandidateFilter, queries: Tensor, k: int) -> Neighbours:
    """The k nearest entries of queries (q, d), block by block."""
    count = min(k + SPARE_CANDIDATES, len(bank_filter))
    found = []
    for part, shifted in bank_filter.blocks(queries):
        keys = torch.addmm(bank_filter.half_norms, shifted, bank_filter.shifted.T, alpha=-1)
        best = keys.topk(count, dim=1, largest=False)  # ascending
        bound = best.values[:, k - 1] + bank_filter.slack(shifted, shifted)
        certain = best.values[:, -1] > bound if count < len(bank_filter) else bound == bound
        found.append(decide(bank_filter, queries[part], best.indices, certain, k))
    return join(found, queries, k)


def decide(
    bank_filter: CandidateFilter, queries: Tensor, candidates: Tensor, certain: Tensor, k: int
) -> Neighbours:
    """The k nearest of candidates (q, count) by their distances; of all entries where not certain.

    `certain` (q,) says of which rows the candidates hold the nearest.
    """
    found = _among(bank_filter.bank, queries, candidates, k)
    rest = (~certain).nonzero()[:, 0]
    if len(rest):
        everything = torch.arange(len(bank_filter), device=queries.device)
        for rows in rest.split(ROWS_COMPARED_WITH_ALL):
            whole = _among(bank_filter.bank, queries[rows], everything.expand(len(rows), -1), k)
            found.indices[rows], found.squared_distances[rows] = whole
    return found


def join(found: list[Neighbours], queries: Tensor, k: int) -> Neighbours:
    """The blocks' neighbours as one."""
    if not found:
        none = torch.empty(0, k, dtype=torch.int64, device=queries.device)
        return Neighbours(none, none.to(queries.dtype))
    return Neighbours(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _among(bank: Tensor, queries: Tensor, candidates: Tensor, k: int) -> Neighbours:
    """The k nearest of candidates (q, count), ascending; equal ones by their index."""
    rows = max(1, candidate_filter.BLOCK_ELEMENTS // (candidates.shape[1] * queries.shape[1]))
    indices = candidates.sort(dim=1).values
    parts = zip(queries.split(rows), indices.split(rows), strict=True)
    squared = torch.cat(
        [(block.unsqueeze(1) - bank[entries]).square().sum(-1) for block, entries in parts]
    )
    squared, rank = squared.sort(dim=1, stable=True)
    return Neighbours(indices.gather(1, rank)[:, :k].clone(), squared[:, :k].clone())
