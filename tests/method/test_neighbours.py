from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cfa_lab.errors import UserError
from cfa_lab.method import filter as candidate_filter
from cfa_lab.method import neighbours, neighbours_plain
from cfa_lab.method.cpu import neighbours as neighbours_cpu
from cfa_lab.method.cpu.projection import ProjectedBank
from cfa_lab.method.filter import CandidateFilter, Neighbours
from cfa_lab.method.gpu import neighbours as neighbours_gpu
from cfa_lab.method.neighbours import NeighbourSearch

Way = Callable[[torch.Tensor, torch.Tensor, int], Neighbours]


def compiled(queries: torch.Tensor, bank: torch.Tensor, k: int) -> Neighbours:
    return neighbours_cpu.nearest(ProjectedBank(bank, rounded=False), queries, k)


def compiled_bf16(queries: torch.Tensor, bank: torch.Tensor, k: int) -> Neighbours:
    return neighbours_cpu.nearest(ProjectedBank(bank, rounded=True), queries, k)


def plain(queries: torch.Tensor, bank: torch.Tensor, k: int) -> Neighbours:
    return neighbours_plain.nearest(CandidateFilter(bank, rounded=False), queries, k)


def triton(queries: torch.Tensor, bank: torch.Tensor, k: int) -> Neighbours:
    """On a GPU where there is one, else in Triton's interpreter."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bank_filter = CandidateFilter(bank.to(device), rounded=True)
    found = neighbours_gpu.nearest(bank_filter, queries.to(device), k)
    return Neighbours(*(part.cpu() for part in found))


@pytest.fixture(
    params=[
        compiled,
        compiled_bf16,
        plain,
        pytest.param(
            triton,
            marks=pytest.mark.skipif(
                not neighbours_gpu.is_available(), reason="Triton is not installed"
            ),
        ),
    ],
    ids=lambda way: way.__name__,
)
def way(request: pytest.FixtureRequest) -> Way:
    """Each way of searching."""
    return request.param


def dense(queries: torch.Tensor, bank: torch.Tensor, k: int) -> torch.Tensor:
    """Ascending squared distances by the plain definition."""
    squared = (queries[:, None] - bank[None]).square().sum(-1)
    return squared.sort(dim=1).values[:, :k]


def check(way: Way, queries: torch.Tensor, bank: torch.Tensor, k: int) -> None:
    """The distances are the smallest there are, and belong to the entries named with them."""
    found = way(queries, bank, k)
    torch.testing.assert_close(found.squared_distances, dense(queries, bank, k), check_stride=False)
    own = (queries[:, None] - bank[found.indices]).square().sum(-1)
    torch.testing.assert_close(found.squared_distances, own, check_stride=False)
    assert all(len(set(row)) == k for row in found.indices.tolist())


@pytest.mark.parametrize(
    ("q", "m", "d", "k"),
    [
        (1, 1, 1, 1),
        (3, 2, 5, 2),
        (40, 63, 3, 6),
        (40, 64, 3, 6),
        (33, 300, 70, 6),
        (5, 200, 8, 150),
    ],
)
def test_every_way_finds_the_nearest(way: Way, q: int, m: int, d: int, k: int):
    generator = torch.Generator().manual_seed(q + m)
    queries, bank = (torch.randn(rows, d, generator=generator) for rows in (q, m))
    check(way, queries, bank, k)


@pytest.mark.parametrize("spread", [1e-6, 1e-3, 1.0])
def test_every_way_tells_crowded_entries_apart(way: Way, spread: float):
    """Entries in a few clumps: keys in bf16 say nothing about the order within a clump."""
    generator = torch.Generator().manual_seed(0)
    clumps = torch.randn(4, 16, generator=generator)
    bank = clumps.repeat(60, 1) + spread * torch.randn(240, 16, generator=generator)
    queries = clumps.repeat(5, 1) + torch.randn(20, 16, generator=generator)
    found = way(queries, bank, 6)
    squared = (queries.double()[:, None] - bank.double()).square().sum(-1)
    worst = squared.gather(1, found.indices).amax(1)
    sixth = squared.sort(dim=1).values[:, 5]
    torch.testing.assert_close(worst, sixth, rtol=1e-5, atol=0)


def test_every_way_gives_equal_distances_to_the_lower_index(way: Way):
    bank = torch.randn(7, 3).repeat(20, 1)
    found = way(bank[:7].clone(), bank, 4)
    assert torch.equal(found.indices, torch.arange(7)[:, None] + 7 * torch.arange(4))
    assert not found.squared_distances.any()


def test_rounded_and_exact_products_give_the_same_bits(dtype):
    """What `fast` promises: the products only propose."""
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(800, 64, generator=generator, dtype=dtype).float()
    queries = bank[:400] + 0.7 * torch.randn(400, 64, generator=generator)
    fast, exact = compiled_bf16(queries, bank, 6), compiled(queries, bank, 6)
    assert torch.equal(fast.indices, exact.indices)
    assert torch.equal(fast.squared_distances, exact.squared_distances)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # Triton's interpreter
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_query_that_is_no_number_has_no_distance(way: Way, bad: float):
    queries, bank = torch.randn(3, 4), torch.randn(90, 4)
    queries[1, 2] = bad
    squared = way(queries, bank, 2).squared_distances
    assert not squared[1].isfinite().any()
    torch.testing.assert_close(squared[::2], dense(queries[::2], bank, 2))


def test_the_number_of_threads_changes_no_bit():
    queries, bank = torch.randn(500, 32), torch.randn(300, 32)
    one = NeighbourSearch(bank).nearest(queries, 6)
    torch.set_num_threads(3)
    try:
        three = NeighbourSearch(bank).nearest(queries, 6)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
    assert torch.equal(one.indices, three.indices)
    assert torch.equal(one.squared_distances, three.squared_distances)


def test_products_are_rounded_only_where_that_gains(monkeypatch):
    bank = torch.randn(20, 4)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert NeighbourSearch(bank).rounded
    assert not NeighbourSearch(bank.double()).rounded
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not NeighbourSearch(bank).rounded


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


def test_blocks_do_not_change_the_result(monkeypatch, way: Way):
    queries, bank = torch.randn(50, 4), torch.randn(12, 4)
    whole = way(queries, bank, 3)
    monkeypatch.setattr(candidate_filter, "BLOCK_ELEMENTS", 40)
    parts = way(queries, bank, 3)
    assert torch.equal(whole.indices, parts.indices)
    torch.testing.assert_close(whole.squared_distances, parts.squared_distances)


def test_the_gradient_is_that_of_the_dense_graph(dtype):
    bank = torch.randn(12, 5, dtype=dtype)
    queries = torch.randn(9, 5, dtype=dtype, requires_grad=True)
    other = queries.detach().clone().requires_grad_()
    weights = torch.randn(9, 4, dtype=dtype)
    (NeighbourSearch(bank).squared_distances(queries, 4) * weights).sum().backward()
    (dense(other, bank, 4) * weights).sum().backward()
    torch.testing.assert_close(queries.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_the_plain_gradient_is_the_compiled_one(monkeypatch, dtype):
    """The one for GPUs, which are not at hand."""
    bank, queries = torch.randn(12, 5, dtype=dtype), torch.randn(9, 5, dtype=dtype)
    indices, grad = torch.randint(12, (9, 4)), torch.randn(9, 4, dtype=dtype)
    torch.testing.assert_close(
        neighbours.plain_gradient(queries, bank, indices, grad),
        neighbours_cpu.gradient(queries, bank, indices, grad),
    )


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
