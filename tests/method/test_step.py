import numpy as np
import pytest
import torch
from helpers.tiny import make_pyramid

from cfa_lab.method.cpu import step as step_cpu
from cfa_lab.method.cpu.projection import ProjectedBank
from cfa_lab.method.cpu.step import CpuStep
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.gradients import Gradients
from cfa_lab.method.loss import HypersphereLoss
from cfa_lab.method.step import AutogradStep

PORTIONS = [(np.array([2]), 0.25), (np.array([0]), 0.25), (np.array([1, 3]), 0.5)]


def both(
    loss: HypersphereLoss,
    *,
    grid: tuple[int, int] = (8, 6),
    channels: tuple[int, ...] = (4, 6, 5),
    columns: int = 2,
    radius: float = 9.0,
    rounded: bool = False,
    dtype: torch.dtype = torch.float32,
) -> tuple[Gradients, Gradients]:
    """The gradients of four images by the compiled step and by autograd."""
    generator = torch.Generator().manual_seed(0)
    levels = make_pyramid(4, channels, grid, dtype=dtype)
    weight = torch.randn(7, sum(channels) + columns, generator=generator, dtype=dtype)
    bias = torch.randn(7, generator=generator, dtype=dtype)
    descriptor = Descriptor(weight, bias, channels=channels)
    bank = torch.randn(30, 7, generator=generator, dtype=dtype)
    r = torch.tensor(radius, dtype=dtype)
    projected = ProjectedBank(bank, rounded=rounded)
    fast = CpuStep(descriptor, r, projected, loss, rounded=rounded)
    slow = AutogradStep(descriptor, r, bank, loss)
    return fast.gradients(levels, PORTIONS), slow.gradients(levels, PORTIONS)


def check(fast: Gradients, slow: Gradients, tolerance: float) -> None:
    for name, ours, theirs in zip(Gradients._fields, fast, slow, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(
            ours.to(theirs), theirs, rtol=0, atol=tolerance * scale + 1e-11, msg=name
        )


def new(K: int = 3, J: int = 3, **more) -> HypersphereLoss:
    return HypersphereLoss(K=K, J=J, alpha=0.1, nu=1e-3, **more)


@pytest.mark.parametrize("grid", [(8, 6), (7, 9), (1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("columns", [2, 0])
def test_gradients_are_those_of_autograd(grid, columns, dtype):
    tolerance = 2e-5 if dtype == torch.float32 else 1e-12
    check(*both(new(), grid=grid, columns=columns, dtype=dtype), tolerance)


@pytest.mark.parametrize("channels", [(15,), (4, 11), (3, 4, 5, 3)])
def test_any_number_of_levels(channels):
    check(*both(new(), channels=channels), 2e-5)


@pytest.mark.parametrize("K, J", [(3, 3), (3, 1), (1, 3), (2, 0)])
@pytest.mark.parametrize("negatives", ["after_k", "from_j"])
@pytest.mark.parametrize("alpha_sign", ["minus", "plus"])
@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("radius", [9.0, 0.2])
def test_every_form_of_the_loss(K, J, negatives, alpha_sign, squared, radius):
    loss = new(K, J, negatives=negatives, alpha_sign=alpha_sign, squared=squared)
    if not squared:
        radius **= 0.5
    fast, slow = both(loss, radius=radius, dtype=torch.float64)
    assert fast.numbers[0] > 0
    check(fast, slow, 1e-12)


def test_repulsion_is_at_work_in_these_tests():
    attraction, repulsion = both(new())[0].numbers[:2]
    assert min(attraction, repulsion) > 0


@pytest.mark.parametrize("radius, count", [(0.3, 3), (0.32, 6)])
def test_only_neighbours_that_can_matter_are_looked_for(radius: float, count: int):
    assert new().num_felt(torch.tensor(radius)) == count
    assert new(alpha_sign="plus").num_felt(torch.tensor(radius)) == 6
    assert new(J=0).num_felt(torch.tensor(radius)) == 3


def test_patches_inside_their_spheres_have_no_gradient():
    fast, slow = both(new(J=0), radius=100.0)
    for total in (fast, slow):
        assert not any(part.any() for part in total)


def test_rounded_products_stay_close():
    """As close as numbers of 8 bits are; neighbours and distances are not rounded."""
    fast, slow = both(new(), rounded=True)
    for ours, theirs in ((fast.weight, slow.weight), (fast.bias, slow.bias)):
        assert 0 < (ours - theirs).norm() < 0.05 * theirs.norm()
    torch.testing.assert_close(fast.numbers, slow.numbers, rtol=0.01, atol=0.01)


def test_small_blocks_change_nothing_but_the_last_bits(monkeypatch):
    whole, _ = both(new(), dtype=torch.float64)
    monkeypatch.setattr(step_cpu, "DISTANCE_ELEMENTS", 1)
    blocks, slow = both(new(), dtype=torch.float64)
    check(blocks, whole, 1e-13)
    check(blocks, slow, 1e-12)


@pytest.mark.parametrize("num_threads", [2, 3, 16])
def test_any_number_of_threads(num_threads: int):
    """Fewer than images, as many, and more, when rows of images are shared out."""
    torch.set_num_threads(num_threads)
    try:
        check(*both(new(), grid=(3, 4), dtype=torch.float64), 1e-12)
    finally:
        torch.set_num_threads(1)


def test_a_loss_that_is_no_number_is_noticed():
    loss = new()
    levels = make_pyramid(4)
    levels[1][2, 0, 0, 0] = torch.nan
    descriptor = Descriptor(torch.randn(7, 17), torch.zeros(7), channels=(4, 6, 5))
    bank = ProjectedBank(torch.randn(30, 7), rounded=False)
    step = CpuStep(descriptor, torch.tensor(1.0), bank, loss, rounded=False)
    assert step.gradients(levels, PORTIONS).numbers[0].isnan()
