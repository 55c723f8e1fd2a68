import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cfa_lab.errors import UserError
from cfa_lab.method import neighbours
from cfa_lab.method.neighbours import NeighbourSearch, smallest


def dense(queries: torch.Tensor, bank: torch.Tensor, k: int) -> torch.Tensor:
    """Ascending squared distances by the plain definition."""
    squared = (queries[:, None] - bank[None]).square().sum(-1)
    return squared.sort(dim=1).values[:, :k]


@given(
    q=st.integers(1, 20), m=st.integers(1, 30), d=st.integers(1, 9), seed=st.integers(0, 1 << 20)
)
@settings(max_examples=60, deadline=None)
def test_distances_match_the_dense_matrix(q: int, m: int, d: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(q, d, generator=generator, dtype=torch.float64)
    bank = torch.randn(m, d, generator=generator, dtype=torch.float64)
    k = 1 + seed % m
    found = NeighbourSearch(bank).nearest(queries, k)
    torch.testing.assert_close(found.squared_distances, dense(queries, bank, k))
    own = (queries[:, None] - bank[found.indices]).square().sum(-1)
    torch.testing.assert_close(found.squared_distances, own)


def test_blocks_do_not_change_the_result(monkeypatch, dtype):
    queries, bank = torch.randn(50, 4, dtype=dtype), torch.randn(12, 4, dtype=dtype)
    whole = NeighbourSearch(bank).nearest(queries, 3)
    monkeypatch.setattr(neighbours, "BLOCK_ELEMENTS", 40)
    parts = NeighbourSearch(bank).nearest(queries, 3)
    assert torch.equal(whole.indices, parts.indices)
    torch.testing.assert_close(whole.squared_distances, parts.squared_distances)


def test_rounded_products_with_exact_distances_find_the_same_neighbours(monkeypatch):
    """bf16 factors, as on a CPU with AMX: the spare candidates make up for the rounding."""

    def rounding(half_norms, queries, entries, *, alpha):
        product = queries.bfloat16().float() @ entries.bfloat16().float()
        return half_norms + alpha * product

    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(800, 64, generator=generator)
    queries = bank[:400] + 0.7 * torch.randn(400, 64, generator=generator)
    exact = NeighbourSearch(bank).nearest(queries, 6)
    monkeypatch.setattr(neighbours, "_multiplies_faster_in_low_precision", lambda _: True)
    search = NeighbourSearch(bank, precision="fast")
    monkeypatch.setattr(torch, "addmm", rounding)
    fast = search.nearest(queries, 6)
    assert (fast.indices == exact.indices).float().mean() > 0.999
    torch.testing.assert_close(fast.squared_distances, exact.squared_distances, rtol=0.02, atol=0)
    assert (fast.squared_distances >= exact.squared_distances - 1e-4).all()


def test_low_precision_is_switched_off_again_even_after_an_error(monkeypatch):
    monkeypatch.setattr(neighbours, "_multiplies_faster_in_low_precision", lambda _: True)
    before = torch.get_float32_matmul_precision()
    search = NeighbourSearch(torch.randn(50, 4), precision="fast")
    search.nearest(torch.randn(3, 4), 2)
    assert torch.get_float32_matmul_precision() == before
    with pytest.raises(RuntimeError):
        search.nearest(torch.randn(3, 5), 2)
    assert torch.get_float32_matmul_precision() == before


def test_the_gradient_is_that_of_the_dense_graph(dtype):
    bank = torch.randn(12, 5, dtype=dtype)
    queries = torch.randn(9, 5, dtype=dtype, requires_grad=True)
    other = queries.detach().clone().requires_grad_()
    weights = torch.randn(9, 4, dtype=dtype)
    (NeighbourSearch(bank).squared_distances(queries, 4) * weights).sum().backward()
    (dense(other, bank, 4) * weights).sum().backward()
    torch.testing.assert_close(queries.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_gradcheck_in_float64():
    bank = torch.randn(8, 3, dtype=torch.float64)
    queries = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    search = NeighbourSearch(bank)
    assert torch.autograd.gradcheck(lambda q: search.squared_distances(q, 3), queries)


def test_an_exact_match_far_from_the_origin_has_distance_zero():
    """|x|^2 + |c|^2 - 2xc would be wrong by more than 1 here, and negative half of the time."""
    bank = 1000 + torch.randn(200, 64)
    found = NeighbourSearch(bank).nearest(bank.clone(), 3)
    assert torch.equal(found.indices[:, 0], torch.arange(200))
    assert not found.squared_distances[:, 0].any()
    assert (found.squared_distances >= 0).all()


def test_a_constant_bank_gives_finite_distances():
    found = NeighbourSearch(torch.ones(5, 3)).nearest(torch.ones(2, 3), 5)
    assert not found.squared_distances.any()
    assert [sorted(row) for row in found.indices.tolist()] == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("k", [0, 4])
def test_more_neighbours_than_entries_are_refused(k: int):
    with pytest.raises(UserError, match="3 entries"):
        NeighbourSearch(torch.zeros(3, 2)).nearest(torch.zeros(1, 2), k)


@given(
    q=st.integers(1, 4),
    m=st.integers(1, 90),
    levels=st.integers(1, 50),
    seed=st.integers(0, 1 << 20),
)
@settings(max_examples=200, deadline=None)
def test_smallest_finds_what_sorting_finds_ties_included(q: int, m: int, levels: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(levels, (q, m), generator=generator).float()
    k = 1 + seed % m
    indices = smallest(values, k)
    assert all(len(set(row)) == k for row in indices.tolist())
    found = values.gather(1, indices).sort(dim=1).values
    assert torch.equal(found, values.sort(dim=1).values[:, :k])
