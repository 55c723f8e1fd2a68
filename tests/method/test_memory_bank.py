from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import make_pyramid
from sklearn.cluster import KMeans

from cfa_lab import reference
from cfa_lab.errors import UserError
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.memory_bank import bank_maker, compress, match_unused
from cfa_lab.method.pyramid import pool

DEFAULTS = {"beta": 0.1, "gamma_c": 1, "seed": 0}


@pytest.fixture
def descriptor(dtype) -> Descriptor:
    torch.manual_seed(1)
    return Descriptor(
        torch.randn(7, 17, dtype=dtype), torch.randn(7, dtype=dtype), channels=(4, 6, 5)
    )


def bank_of(kind, descriptor, levels, batches, **values):
    pooled = [pool(level) for level in levels]

    def pyramids():
        return ([level[batch] for level in pooled] for batch in batches)

    return bank_maker(kind, pyramids, **(DEFAULTS | values))(descriptor)


@pytest.mark.parametrize("batches", [[[0, 1], [2, 3], [4]], [[3]], [[0, 1, 2, 3, 4]]])
def test_mean_map_is_the_running_mean_of_batch_means(descriptor, dtype, batches):
    levels = make_pyramid(5, dtype=dtype)
    weight, bias = descriptor.weight.detach(), descriptor.bias.detach()
    literal = reference.mean_bank(levels, batches, weight, bias)
    torch.testing.assert_close(bank_of("mean", descriptor, levels, batches), literal)


@pytest.mark.parametrize("beta", [0.0, 0.1, 1.0])
def test_ema_follows_algorithm_1(descriptor, dtype, beta):
    levels = make_pyramid(4, grid=(4, 3), channels=(4, 6, 5), dtype=dtype)
    weight, bias = descriptor.weight.detach(), descriptor.bias.detach()
    literal = reference.ema_bank(levels, [2, 0, 3, 1], weight, bias, beta)
    bank = bank_of("ema", descriptor, levels, [[2, 0], [3, 1]], beta=beta)
    torch.testing.assert_close(bank, literal)


def test_a_sample_holds_at_each_position_the_patch_there_of_some_image(descriptor, dtype):
    levels = make_pyramid(4, dtype=dtype)
    phi = descriptor([pool(level) for level in levels])
    banks = [bank_of("sample", descriptor, levels, [[0, 1], [2, 3]], seed=i) for i in range(200)]
    found = torch.stack([(bank - phi).abs().amax(-1).argmin(0) for bank in banks])
    chosen = phi.gather(0, found[0].view(1, -1, 1).expand(1, -1, 7))[0]
    torch.testing.assert_close(banks[0], chosen)
    shares = found.flatten().bincount(minlength=4) / found.numel()
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.02, rtol=0)


def test_a_sample_of_one_image_is_that_image(descriptor, dtype):
    levels = make_pyramid(1, dtype=dtype)
    phi = descriptor([pool(level) for level in levels])[0]
    torch.testing.assert_close(bank_of("sample", descriptor, levels, [[0]]), phi)


@pytest.mark.parametrize("kind", ["mean", "ema", "sample"])
def test_a_maker_follows_the_descriptor_it_is_given(descriptor, dtype, kind):
    pooled = [pool(level) for level in make_pyramid(3, dtype=dtype)]
    other = Descriptor(2 * descriptor.weight, 2 * descriptor.bias, channels=(4, 6, 5))
    make = bank_maker(kind, lambda: iter([pooled]), **DEFAULTS)
    first = make(descriptor)
    torch.testing.assert_close(make(other), 2 * first)
    assert torch.equal(make(descriptor), first)
    assert not first.requires_grad


def test_no_patch_is_matched_twice():
    bank, patches = torch.randn(9, 3), torch.randn(9, 3)
    assert sorted(match_unused(bank, patches).tolist()) == list(range(9))


@pytest.mark.parametrize("kind", ["mean", "ema", "sample"])
def test_gamma_c_divides_the_entries_and_the_seed_decides_them(descriptor, dtype, kind):
    levels = make_pyramid(3, dtype=dtype)
    first, again, other = (
        bank_of(kind, descriptor, levels, [[0, 1, 2]], gamma_c=5, seed=seed) for seed in (0, 0, 1)
    )
    assert first.shape == (48 // 5, 7)
    assert first.dtype == dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_k_means_finds_well_separated_clusters():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    entries = centres.repeat_interleave(4, dim=0) + 0.01 * torch.randn(12, 2)
    found = compress(entries, 4, seed=0)
    assert torch.cdist(centres, found).min(dim=1).values.max() < 0.1


@pytest.mark.parametrize("kind", ["mean", "ema", "sample"])
def test_of_several_starts_the_best_is_kept_as_scikit_learn_does(descriptor, kind):
    levels = make_pyramid(3, dtype=descriptor.weight.dtype)
    entries = bank_of(kind, descriptor, levels, [[0], [1], [2]])
    if kind == "ema":  # K-means begins, and then entries follow
        entries = descriptor([pool(level[:1]) for level in levels])[0].detach()
    options: Any = {"n_init": 10, "max_iter": 3000, "random_state": 0}
    means = KMeans(len(entries) // 3, **options)
    means.fit(entries.numpy())
    found = compress(entries, 3, starts=10, seed=0)
    assert np.array_equal(found.numpy(), means.cluster_centers_)
    ten, one = (
        bank_of(kind, descriptor, levels, [[0], [1], [2]], gamma_c=3, starts=n) for n in (10, 1)
    )
    assert not torch.equal(ten, one)
    if kind != "ema":
        assert torch.equal(ten, found)


def test_more_starts_fit_no_worse():
    entries = torch.randn(90, 3, generator=torch.Generator().manual_seed(0))

    def spread(starts: int) -> float:
        centres = compress(entries, 6, starts=starts, seed=3)
        return float(torch.cdist(entries, centres).square().min(1).values.sum())

    assert spread(10) < spread(1)


def test_too_much_compression_is_refused():
    with pytest.raises(UserError, match="gamma_c=9"):
        compress(torch.zeros(8, 2), 9, seed=0)


@pytest.mark.parametrize("kind", ["mean", "ema", "sample"])
def test_no_training_image_is_refused(descriptor, kind):
    with pytest.raises(UserError, match="needs at least one"):
        bank_maker(kind, lambda: [], **DEFAULTS)(descriptor)


def test_an_unknown_kind_is_refused():
    with pytest.raises(UserError, match="nearest"):
        bank_maker("nearest", lambda: [], **DEFAULTS)
