"""Nearest entries on a GPU: product and selection fused, so that no key is ever written."""

import importlib.util
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from cfa_lab.method import neighbours_plain
from cfa_lab.method.filter import CandidateFilter, Neighbours

ROWS, LANES, DEPTH = 32, 128, 64
"""Queries and entries of one tile, and dimensions multiplied at a time."""

KEPT = 2
"""Smallest keys kept of each lane."""


def is_available() -> bool:
    """Whether Triton is installed; it comes with torch's CUDA builds for Linux."""
    return importlib.util.find_spec("triton") is not None


def nearest(bank_filter: CandidateFilter, queries: Tensor, k: int) -> Neighbours:
    """The k nearest entries of queries (q, d), with the filter's bf16 factors.

    The entries are dealt out to lanes, of which the two smallest keys come back. They hold the
    nearest for sure unless a lane's second key is itself within reach: such rows are compared with
    every entry.
    """
    count = min(k + neighbours_plain.SPARE_CANDIDATES, len(bank_filter), LANES)
    if k > count:
        return neighbours_plain.nearest(bank_filter, queries, k)
    found = []
    for part, shifted in bank_filter.blocks(queries):
        factors = bank_filter.as_factors(shifted)
        keys, entries = smallest_by_lane(factors, bank_filter.factors, bank_filter.half_norms)
        best = keys.flatten(1).topk(count, dim=1, largest=False)  # ascending
        candidates = entries.flatten(1).gather(1, best.indices).long()
        bound = best.values[:, k - 1] + bank_filter.slack(shifted, factors)
        certain = keys[:, -1].amin(1) > bound
        if count < len(bank_filter):
            certain &= best.values[:, -1] > bound
        found.append(neighbours_plain.decide(bank_filter, queries[part], candidates, certain, k))
    return neighbours_plain.join(found, queries, k)


def smallest_by_lane(queries: Tensor, entries: Tensor, half_norms: Tensor) -> tuple[Tensor, Tensor]:
    """The two smallest keys of each lane (q, 2, LANES), ascending, and their entries, int32.

    `queries` (q, d) and `entries` (m, d) in bf16, `half_norms` (m,) in float32; entry i is in lane
    i modulo LANES. Keys are infinite where a lane has fewer entries.
    """
    shape = (len(queries), KEPT, LANES)
    keys = torch.full(shape, torch.inf, device=queries.device)
    found = torch.zeros(shape, dtype=torch.int32, device=queries.device)
    queries, entries = queries.contiguous(), entries.contiguous()
    grid = (-(-len(queries) // ROWS),)
    _kernel()[grid](
        queries,
        entries,
        half_norms,
        keys,
        found,
        len(queries),
        len(entries),
        queries.shape[1],
        ROWS=ROWS,
        LANES=LANES,
        DEPTH=DEPTH,
        WIDEN=queries.device.type == "cpu",  # Triton's interpreter multiplies no bf16
        num_warps=8,
    )
    return keys, found


@lru_cache(maxsize=1)  # Triton is imported only where it runs
def _kernel() -> Any:
    import triton
    import triton.language as tl

    @triton.jit
    def smallest_two(
        queries,
        entries,
        half_norms,
        keys,
        found,
        num_queries,
        num_entries,
        dimension,
        ROWS: tl.constexpr,
        LANES: tl.constexpr,
        DEPTH: tl.constexpr,
        WIDEN: tl.constexpr,
    ):
        rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
        lanes = tl.arange(0, LANES)
        depths = tl.arange(0, DEPTH)
        in_rows = rows[:, None] < num_queries
        row_starts = rows[:, None].to(tl.int64) * dimension
        first = tl.full((ROWS, LANES), float("inf"), tl.float32)
        second = tl.full((ROWS, LANES), float("inf"), tl.float32)
        first_entry = tl.zeros((ROWS, LANES), tl.int32)
        second_entry = tl.zeros((ROWS, LANES), tl.int32)
        for start in range(0, num_entries, LANES):
            members = start + lanes
            in_bank = members < num_entries
            member_starts = members[None, :].to(tl.int64) * dimension
            product = tl.zeros((ROWS, LANES), tl.float32)
            for d in range(0, dimension, DEPTH):
                inside = d + depths < dimension
                x = tl.load(
                    queries + row_starts + (d + depths)[None, :],
                    mask=in_rows & inside[None, :],
                    other=0.0,
                )
                c = tl.load(
                    entries + member_starts + (d + depths)[:, None],
                    mask=in_bank[None, :] & inside[:, None],
                    other=0.0,
                )
                if WIDEN:
                    x, c = x.to(tl.float32), c.to(tl.float32)
                product = tl.dot(x, c, product)
            norms = tl.load(half_norms + members, mask=in_bank, other=float("inf"))
            key = norms[None, :] - product
            entry = tl.broadcast_to(members[None, :], (ROWS, LANES))
            is_first = key < first
            is_second = (key < second) & ~is_first
            second = tl.where(is_first, first, tl.where(is_second, key, second))
            second_entry = tl.where(is_first, first_entry, tl.where(is_second, entry, second_entry))
            first = tl.where(is_first, key, first)
            first_entry = tl.where(is_first, entry, first_entry)
        place = rows[:, None].to(tl.int64) * (2 * LANES) + lanes[None, :]
        tl.store(keys + place, first, mask=in_rows)
        tl.store(keys + place + LANES, second, mask=in_rows)
        tl.store(found + place, first_entry, mask=in_rows)
        tl.store(found + place + LANES, second_entry, mask=in_rows)

    return smallest_two
