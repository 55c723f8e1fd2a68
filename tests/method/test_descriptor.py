import pytest
import torch
from helpers.tiny import make_pyramid

from cfa_lab import reference
from cfa_lab.errors import UserError
from cfa_lab.method.descriptor import Descriptor, new_descriptor
from cfa_lab.method.pyramid import pool

GRIDS = [(8, 6), (7, 9), (1, 1), (1, 5)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("with_coordinates", [True, False])
def test_agrees_with_the_literal_convolution(grid, with_coordinates, dtype):
    levels = make_pyramid(grid=grid, dtype=dtype)
    columns = 15 + 2 * with_coordinates
    weight, bias = torch.randn(7, columns, dtype=dtype), torch.randn(7, dtype=dtype)
    descriptor = Descriptor(weight, bias, channels=(4, 6, 5))
    literal_weight, literal_bias = (value.clone().requires_grad_() for value in (weight, bias))

    phi = descriptor([pool(level) for level in levels])
    literal = reference.describe(levels, literal_weight, literal_bias)
    torch.testing.assert_close(phi, literal)

    direction = torch.randn_like(phi)
    (phi * direction).sum().backward()
    (literal * direction).sum().backward()
    assert literal_weight.grad is not None
    assert literal_bias.grad is not None
    tolerance = 1e-4 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(
        descriptor.weight.grad, literal_weight.grad, rtol=tolerance, atol=tolerance
    )
    torch.testing.assert_close(
        descriptor.bias.grad, literal_bias.grad, rtol=tolerance, atol=tolerance
    )


def new(init: str, *, dimension: int = 15, seed: int = 0) -> Descriptor:
    generator = torch.Generator().manual_seed(seed)
    return new_descriptor([4, 6, 5], dimension, init=init, generator=generator)


def test_identity_passes_pooled_features_through_and_ignores_position():
    levels = [pool(level) for level in make_pyramid(grid=(8, 6))]
    phi = new("identity")(levels)
    features = reference.patch_features(make_pyramid(grid=(8, 6)), with_coordinates=False)
    torch.testing.assert_close(phi, features.flatten(2).transpose(1, 2))


def test_identity_of_fewer_dimensions_is_an_orthogonal_projection():
    assert torch.equal(new("identity", dimension=7).weight, new("orthogonal", dimension=7).weight)


@pytest.mark.parametrize("dimension", [15, 7, 30])
def test_orthogonal_keeps_lengths_as_far_as_dimensions_go(dimension):
    descriptor = new("orthogonal", dimension=dimension)
    features = descriptor.weight.detach()[:, :15]
    small = features @ features.T if dimension < 15 else features.T @ features
    torch.testing.assert_close(small, torch.eye(min(dimension, 15)), atol=1e-5, rtol=0)
    assert not descriptor.weight[:, 15:].any()
    assert not descriptor.bias.any()


def test_default_initialisation_has_pytorchs_bounds_and_he_its_variance():
    default, he = new("default", dimension=4000), new("he", dimension=4000)
    bound = 17**-0.5
    assert default.weight.abs().max() <= bound
    assert default.weight.abs().max() > 0.99 * bound
    assert default.bias.abs().max() > 0.9 * bound
    assert float(he.weight.detach().std()) == pytest.approx((2 / 17) ** 0.5, rel=0.02)
    assert not he.bias.any()


def test_the_same_seed_gives_the_same_weights():
    assert torch.equal(new("default").weight, new("default").weight)
    assert not torch.equal(new("default").weight, new("default", seed=1).weight)
    assert torch.equal(new("orthogonal").weight, new("orthogonal").weight)


def test_a_weight_of_the_wrong_width_is_refused():
    with pytest.raises(UserError, match="16 columns"):
        Descriptor(torch.zeros(3, 16), torch.zeros(3), channels=(4, 6, 5))
