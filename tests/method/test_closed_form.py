"""The solution against many small explicit gradient steps, its limits, and its sums."""

from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import make_pyramid
from torch import Tensor

from cfa_lab import reference
from cfa_lab.method.closed_form import (
    Sums,
    for_shifted,
    no_sums,
    shift_of,
    shifted,
    solve,
    sums_of,
)
from cfa_lab.method.covariance import feature_sums
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.loss import HypersphereLoss
from cfa_lab.method.pyramid import pool
from cfa_lab.method.step import AutogradStep

EVERY = {"grid": [(8, 6), (1, 6), (5, 1), (7, 9), (1, 1)], "coordinates": [True, False]}


def begun(columns: int, dimension: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(dimension, columns, generator=generator, dtype=dtype)
    return weight / columns**0.5, torch.randn(dimension, generator=generator, dtype=dtype)


def sums(
    levels: list[Tensor], bank: Tensor, weight: Tensor, bias: Tensor, *, K: int, images: range
) -> Sums:
    """The sums over some images of backbone maps, image by image."""
    pooled = [pool(level) for level in levels]
    descriptor = Descriptor(weight, bias, channels=[level.shape[1] for level in levels])
    shift = shift_of([level[:1] for level in pooled], descriptor)
    attraction = HypersphereLoss(K=K, J=0, alpha=0, nu=1)
    step = AutogradStep(for_shifted(descriptor, shift), weight.new_zeros(()), bank, attraction)
    total = no_sums(shift, len(weight))
    for i in images:
        pyramid = shifted([level[i : i + 1] for level in pooled], shift)
        found = step.gradients(pyramid, [(np.array([0]), 1.0)])
        coordinates = descriptor.has_coordinates
        total.add_(sums_of(pyramid, found, shift, with_coordinates=coordinates))
    return total


def setting(
    dtype: torch.dtype,
    *,
    num_images: int = 3,
    coordinates: bool = True,
    dimension: int = 9,
    **more: Any,
) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    levels = make_pyramid(num_images, dtype=dtype, **more)
    weight, bias = begun(15 + 2 * coordinates, dimension, dtype)
    bank = reference.mean_bank(levels, [list(range(num_images))], weight, bias)
    return levels, bank, weight, bias


@pytest.mark.parametrize("grid", EVERY["grid"])
@pytest.mark.parametrize("coordinates", EVERY["coordinates"])
def test_feature_sums_are_those_of_upsampled_patches(dtype, grid, coordinates):
    levels = make_pyramid(2, grid=grid, dtype=dtype)
    patches = reference.patch_features(levels, with_coordinates=coordinates)
    patches = patches.movedim(1, -1).flatten(0, 2).double()
    total, products = feature_sums([pool(level) for level in levels], with_coordinates=coordinates)
    assert total.dtype == products.dtype == torch.float64
    off = 1e-4 if dtype == torch.float32 else 1e-9
    torch.testing.assert_close(total, patches.sum(0), rtol=off, atol=off)
    torch.testing.assert_close(products, patches.T @ patches, rtol=off, atol=off)


@pytest.mark.parametrize("coordinates", EVERY["coordinates"])
@pytest.mark.parametrize("dimension, K, time", [(9, 1, 0.5), (9, 3, 2.0), (20, 2, 1.0)])
def test_small_steps_converge_to_the_solution(dtype, coordinates, dimension, K, time):
    levels, bank, weight, bias = setting(dtype, coordinates=coordinates, dimension=dimension)
    found = solve(sums(levels, bank, weight, bias, K=K, images=range(3)), weight, bias, time)
    assert found.weight.dtype == found.bias.dtype == dtype

    def off(num_steps: int) -> float:
        steps = reference.descend(
            levels, bank=bank, weight=weight, bias=bias, K=K, time=time, num_steps=num_steps
        )
        return float((steps[0] - found.weight).norm() + (steps[1] - found.bias).norm())

    coarse, fine = off(200), off(2000)
    assert fine < 2e-3
    assert fine < coarse / 5 or dtype == torch.float32  # first order: ten times closer


def test_attraction_after_is_the_loss_at_the_solution():
    levels, bank, weight, bias = setting(torch.float64)
    total = sums(levels, bank, weight, bias, K=3, images=range(3))
    nearest = reference.squared_distances(reference.describe(levels, weight, bias), bank)
    nearest = nearest.argsort(dim=2)[..., :3]

    def attraction(weight: Tensor, bias: Tensor) -> float:
        phi = reference.describe(levels, weight, bias)[:, :, None]
        return float((phi - bank[nearest]).square().sum(-1).mean())

    assert float(total.attraction / total.num_patches) == pytest.approx(attraction(weight, bias))
    last = attraction(weight, bias)
    for time in (0.0, 0.3, 1.0, 5.0, 1e9):
        found = solve(total, weight, bias, time)
        assert found.attraction == pytest.approx(attraction(found.weight, found.bias))
        assert found.attraction <= last * (1 + 1e-9)  # it never rises with time
        last = found.attraction


def test_no_time_leaves_the_weight_and_all_time_gives_least_squares():
    levels, bank, weight, bias = setting(torch.float64)
    total = sums(levels, bank, weight, bias, K=2, images=range(3))
    torch.testing.assert_close(solve(total, weight, bias, 0.0).weight, weight)
    patches = reference.patch_features(levels).movedim(1, -1).flatten(0, 2)
    nearest = reference.squared_distances(reference.describe(levels, weight, bias), bank)
    targets = bank[nearest.argsort(dim=2)[..., :2]].mean(2).flatten(0, 1)
    ones = torch.cat([patches, torch.ones(len(patches), 1)], dim=1)
    best = ones @ torch.linalg.lstsq(ones, targets).solution
    found = solve(total, weight, bias, 1e9)
    torch.testing.assert_close(patches @ found.weight.T + found.bias, best, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["constant channel", "constant", "one patch", "few patches"])
@pytest.mark.parametrize("time", [0.0, 1.0, 1e9])
def test_degenerate_features_are_solved_for(dtype, kind, time):
    grid = {"one patch": (1, 1), "few patches": (1, 3)}.get(kind, (8, 6))
    levels, bank, weight, bias = setting(dtype, num_images=1, grid=grid)
    if kind == "constant channel":  # but for the border, where zeros enter the pooling
        levels[1][:, 2] = 0
    elif kind == "constant":
        levels = [torch.zeros_like(level) for level in levels]
    found = solve(sums(levels, bank, weight, bias, K=1, images=range(1)), weight, bias, time)
    assert found.weight.isfinite().all()
    assert found.bias.isfinite().all()
    if kind == "constant channel":  # it has no part, so its column stays as it was
        torch.testing.assert_close(found.weight[:, 4 + 2], weight[:, 4 + 2])


def test_features_with_a_large_offset_lose_nothing(dtype):
    """The same patches, shifted: the solution is the same but for the bias."""
    levels, _, weight, bias = setting(dtype, coordinates=False)
    pooled = [pool(level) for level in levels]
    descriptor = Descriptor(weight, bias, channels=(4, 6, 5))
    shift = shift_of([level[:1] for level in pooled], descriptor)
    away = for_shifted(descriptor, torch.full_like(shift, -1000.0))
    torch.testing.assert_close(
        away([level + 1000 for level in pooled]), descriptor(pooled), rtol=1e-3, atol=1e-2
    )
    moved = shifted([level + 1000 for level in pooled], shift + 1000)
    torch.testing.assert_close(moved, shifted(pooled, shift), rtol=1e-3, atol=1e-3)


def test_sums_of_two_halves_are_those_of_the_whole(dtype):
    levels, bank, weight, bias = setting(dtype, num_images=5)
    whole = sums(levels, bank, weight, bias, K=3, images=range(5))
    first = sums(levels, bank, weight, bias, K=3, images=range(2))
    first.add_(sums(levels, bank, weight, bias, K=3, images=range(2, 5)))
    for name, value in vars(whole).items():
        torch.testing.assert_close(getattr(first, name), value, rtol=1e-12, atol=1e-9)
    assert int(whole.num_patches) == 5 * 48
