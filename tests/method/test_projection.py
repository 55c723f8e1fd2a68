import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cfa_lab.method.cpu.compiled import as_array, compiled, narrow, narrow_up, widen
from cfa_lab.method.cpu.projection import NUM_COMPONENTS, ProjectedBank


def smooth(rows: int, d: int, rank: int, generator: torch.Generator) -> torch.Tensor:
    """Rows near a subspace, as the entries of a memory bank are."""
    values = torch.randn(rows, rank, generator=generator) @ torch.randn(
        rank, d, generator=generator
    )
    return values + 0.01 * torch.randn(rows, d, generator=generator)


def check_bounds(bank: ProjectedBank, queries: torch.Tensor) -> None:
    """No approximate half squared distance is off by more than its bound, entry by entry."""
    shifted = queries - bank.mean
    factors, errors = bank.factors_of(shifted)
    found = factors.double() @ bank.factors.double().T
    entries = bank.bank[bank.order].double()
    true = (queries.double()[:, None] - entries).square().sum(-1) / 2
    bound = errors[:, :1] - errors[:, 1:] * bank.spared
    assert ((found - true).abs() <= bound.double()).all()


@given(
    q=st.integers(1, 20),
    m=st.integers(1, 30),
    d=st.integers(1, 300),
    spread=st.sampled_from([1e-3, 1.0, 1e3]),
    rounded=st.booleans(),
    seed=st.integers(0, 1 << 20),
)
@settings(max_examples=60, deadline=None)
def test_no_distance_is_off_by_more_than_its_bound(q, m, d, spread, rounded, seed):
    generator = torch.Generator().manual_seed(seed)
    bank = 1 + spread * torch.randn(m, d, generator=generator)
    queries = 1 + spread * torch.randn(q, d, generator=generator)
    check_bounds(ProjectedBank(bank, rounded=rounded), queries)


@pytest.mark.parametrize("rounded", [True, False])
def test_few_components_stand_for_a_smooth_bank(rounded: bool):
    generator = torch.Generator().manual_seed(0)
    values = smooth(500, 448, 30, generator)
    bank = ProjectedBank(values[:400], rounded=rounded)
    assert bank.basis is not None
    assert bank.basis.shape == (448, NUM_COMPONENTS[0])
    assert bank.factors.dtype == (torch.bfloat16 if rounded else torch.float32)
    check_bounds(bank, values[400:])
    check_bounds(bank, 3 * torch.randn(50, 448, generator=generator))  # far from the subspace


def test_a_bank_without_structure_keeps_all_dimensions():
    bank = ProjectedBank(torch.randn(900, 448), rounded=True)
    assert bank.basis is None
    check_bounds(bank, torch.randn(20, 448))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bank_that_is_no_number_has_no_bound(bad: float):
    values = torch.randn(300, 250)
    values[3, 4] = bad
    _, errors = ProjectedBank(values, rounded=True).factors_of(torch.randn(5, 250))
    assert not errors[:, 0].isfinite().any()


def test_bf16_bits_are_torchs():
    numbers = torch.cat([torch.randn(2000) * 10.0**power for power in (-30, -3, 0, 30)])
    halves = (1 + torch.arange(64) / 128).repeat_interleave(2)
    halves[1::2] += 2**-8  # between two bf16 numbers
    numbers = torch.cat([numbers, halves, torch.tensor([0.0, -0.0, torch.inf, -torch.inf])])
    bits = torch.empty(len(numbers), dtype=torch.bfloat16)
    above, back = torch.empty_like(bits), torch.empty_like(numbers)
    _convert(*(as_array(tensor) for tensor in (numbers, bits, above, back)))
    assert torch.equal(bits, numbers.bfloat16())
    assert torch.equal(back, numbers.bfloat16().float())
    positive = ~numbers.signbit() & numbers.isfinite()
    assert (above.float() >= numbers)[positive].all()
    assert (above.float() <= 1.01 * numbers + 1e-37)[positive].all()


@compiled
def _convert(numbers, bits, above, back):
    for i in range(len(numbers)):
        bits[i] = narrow(numbers[i], bits[0])
        above[i] = narrow_up(numbers[i], bits[0])
        back[i] = widen(bits[i])
