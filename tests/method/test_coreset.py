"""Greedy k-centre: the compiled and the plain one against the loop, and the candidates it sees."""

import pytest
import torch
from helpers.tiny import make_pyramid
from hypothesis import given, settings
from hypothesis import strategies as st

from cfa_lab import reference
from cfa_lab.errors import UserError
from cfa_lab.method import coreset
from cfa_lab.method.coreset import coreset_bank, draw_patches, k_centre, plain_k_centre
from cfa_lab.method.cpu import coreset as compiled
from cfa_lab.method.descriptor import new_descriptor
from cfa_lab.method.pyramid import pool


def descriptor(dimension: int = 7):
    generator = torch.Generator().manual_seed(3)
    return new_descriptor([4, 6, 5], dimension, generator=generator).requires_grad_(False)


@pytest.mark.parametrize("way", [k_centre, plain_k_centre])
@pytest.mark.parametrize(
    "shape, entries", [((30, 5), 12), ((9, 40), 9), ((1, 3), 1), ((20, 1), 20)]
)
def test_the_entries_are_those_of_the_plain_loop(dtype, way, shape, entries):
    patches = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype) + 3
    assert way(patches, entries).tolist() == reference.k_centre(patches, entries)


@pytest.mark.parametrize("way", [k_centre, plain_k_centre])
def test_equal_patches_are_taken_in_order_and_none_twice(way):
    assert way(torch.ones(5, 3), 4).tolist() == [0, 1, 2, 3]
    pairs = torch.tensor([0.0, 0.0, 8.0, 8.0])[:, None].expand(-1, 2).contiguous()
    assert way(pairs, 4).tolist() == [0, 2, 1, 3]


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(2, 60), d=st.integers(1, 40), seed=st.integers(0, 99), scale=st.floats(1e-3, 1e3)
)
def test_no_patch_is_farther_from_the_entries_than_they_are_from_each_other(n, d, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(n, d, generator=generator, dtype=torch.float64) * scale
    entries = patches[k_centre(patches, m := max(1, n // 3))]
    apart = torch.cdist(entries, entries).fill_diagonal_(torch.inf).amin() if m > 1 else torch.inf
    assert float(torch.cdist(patches, entries).amin(1).amax()) <= float(apart) * (1 + 1e-9)


@pytest.mark.parametrize("coordinates", [True, False])
def test_entries_are_patches_of_the_training_images_as_described(coordinates):
    levels = [pool(level) for level in make_pyramid(3)]
    generator = torch.Generator().manual_seed(3)
    made = new_descriptor([4, 6, 5], 7, with_coordinates=coordinates, generator=generator)
    bank = coreset_bank(made, levels, 48, seed=0)
    phi = made(levels).detach().flatten(0, 1)
    assert bank.shape == (48, 7)
    assert float(torch.cdist(bank.double(), phi.double()).amin(1).amax()) < 1e-5
    assert len({tuple(row) for row in bank.tolist()}) == 48


def test_candidates_are_bounded_seeded_and_each_patch_once(monkeypatch):
    monkeypatch.setattr(coreset, "CANDIDATES", 20)
    levels = [pool(level) for level in make_pyramid(3)]
    first, again, other = (draw_patches(levels, descriptor(), 5, seed=s) for s in (0, 0, 1))
    assert first.shape == (20, 17)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({tuple(row) for row in first.tolist()}) == 20
    assert len(draw_patches(levels, descriptor(), 30, seed=0)) == 30  # no fewer than are asked for
    monkeypatch.setattr(coreset, "CANDIDATE_ELEMENTS", 10 * 17)
    assert len(draw_patches(levels, descriptor(), 5, seed=0)) == 10


def test_more_entries_than_patches_are_refused():
    levels = [pool(level) for level in make_pyramid(2)]
    assert len(coreset_bank(descriptor(), levels, 96, seed=0)) == 96
    with pytest.raises(UserError, match=r"memory_bank\.entries is 97; allowed: 1 to 96"):
        coreset_bank(descriptor(), levels, 97, seed=0)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("pool", [1, 3, 50])
def test_rounds_and_threads_change_no_entry(monkeypatch, pool, threads):
    """Points of a grid have many equal distances, and some stand twice here."""
    steps = torch.arange(4.0)
    patches = torch.cartesian_prod(steps, steps, steps)[torch.arange(80) % 64]
    in_one_round = compiled.k_centre(patches, 70)
    monkeypatch.setattr(compiled, "POOL", pool)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert torch.equal(compiled.k_centre(patches, 70), in_one_round)
