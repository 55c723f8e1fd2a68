import numpy as np
import pytest
import torch
from helpers.tiny import make_pyramid

from cfa_lab import Detector, fit_pyramid, reference
from cfa_lab.errors import UserError
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.neighbours import Neighbours, NeighbourSearch
from cfa_lab.method.pyramid import pool
from cfa_lab.method.scoring import Scoring


def detector(dtype: torch.dtype = torch.float32, *, num_neighbours: int = 3) -> Detector:
    torch.manual_seed(0)
    weight, bias = torch.randn(7, 17, dtype=dtype), torch.randn(7, dtype=dtype)
    bank, radius = torch.randn(48, 7, dtype=dtype), torch.tensor(0.1, dtype=dtype)
    descriptor = Descriptor(weight, bias, channels=(4, 6, 5)).requires_grad_(False)
    return Detector(descriptor, bank, radius, Scoring(num_neighbours=num_neighbours))


def test_scores_agree_with_the_reference(dtype):
    model, levels = detector(dtype), make_pyramid(4, dtype=dtype)
    phi = reference.describe(levels, model.descriptor.weight, model.descriptor.bias)
    literal = reference.patch_scores(phi, model.bank).unflatten(1, (8, 6))
    scores = model.score(levels)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, literal.float(), rtol=1e-4, atol=1e-4)


def test_an_images_score_does_not_depend_on_its_batch():
    model, levels = detector(), make_pyramid(5)
    alone = [model.score([level[i : i + 1] for level in levels]) for i in range(5)]
    assert torch.equal(model.score(levels), torch.cat(alone))


def test_arrays_memory_maps_and_pooled_maps_are_accepted(tmp_path):
    model, levels = detector(), make_pyramid(2)
    expected = model.score(levels)
    arrays = [level.numpy() for level in levels]
    assert torch.equal(model.score(arrays), expected)
    maps = []
    for i, array in enumerate(arrays):
        np.save(tmp_path / f"{i}.npy", array)
        maps.append(np.load(tmp_path / f"{i}.npy", mmap_mode="r"))
    assert torch.equal(model.score(maps), expected)
    assert torch.equal(model.score([pool(level) for level in levels], pooled=True), expected)


def test_no_image_gives_no_map():
    assert detector().score([level[:0] for level in make_pyramid(1)]).shape == (0, 8, 6)


def test_more_neighbours_than_the_bank_has_are_refused():
    with pytest.raises(UserError, match="allowed: 1 to 48"):
        detector(num_neighbours=49)


@pytest.mark.parametrize("num_neighbours", [1, 2, 3])
def test_a_witness_sees_each_images_neighbours_and_changes_no_score(num_neighbours):
    model, pyramid = detector(num_neighbours=num_neighbours), make_pyramid(3)
    seen: list[Neighbours] = []
    scores = model.patch_scores(pyramid, seen.append)
    assert torch.equal(scores, model.patch_scores(pyramid))
    assert len(seen) == 3
    for i, found in enumerate(seen):
        phi = model.descriptor([level[i : i + 1] for level in pyramid])[0]
        expected = NeighbourSearch(model.bank).nearest(phi, max(2, num_neighbours))
        assert torch.equal(found.squared_distances, expected.squared_distances)
        assert torch.equal(found.indices, expected.indices)


def test_a_witness_sees_the_one_neighbour_of_a_bank_of_one():
    model = detector(num_neighbours=1)
    lone = Detector(model.descriptor, model.bank[:1], model.radius, model.scoring)
    seen: list[Neighbours] = []
    lone.patch_scores(make_pyramid(1), seen.append)
    assert seen[0].squared_distances.shape == (48, 1)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e25])
@pytest.mark.parametrize("where", ["bank", "weight", "bias", "feature"])
def test_what_is_no_number_never_scores_as_near(value, where):
    levels = make_pyramid(2)
    detector, _ = fit_pyramid(levels, epochs=0, preset="official")
    before = detector.score(levels)
    if where == "feature":
        levels[0][1, 0, 2, 3] = value
    elif where == "bank":
        detector.bank[3, 0] = value
    else:
        getattr(detector.descriptor, where).data[0] = value
    detector = Detector(
        detector.descriptor, detector.bank.clone(), detector.radius, detector.scoring
    )
    scores = detector.score(levels)
    maps = detector.scoring.maps(scores, (32, 24))
    if where == "feature":
        assert torch.equal(scores[0], before[0])
        assert not scores[1, 1:4, 2:5].isfinite().any()
        assert not detector.scoring.image_scores(maps)[1].isfinite()
    else:
        assert not scores.isfinite().any()
        assert not detector.scoring.image_scores(maps).isfinite().any()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda levels: levels[:2],
        lambda levels: levels[::-1],
        lambda levels: [levels[0], levels[1][:1], levels[2]],
        lambda levels: [levels[0][:, :3], *levels[1:]],
        lambda levels: [levels[0][0], *levels[1:]],
        lambda levels: [levels[0][..., :1], *levels[1:]],
        lambda levels: [],
    ],
    ids=["missing", "swapped", "fewer images", "narrower", "three axes", "coarser", "none"],
)
def test_levels_that_are_not_the_fits_are_refused(wrong):
    levels = make_pyramid(2)
    detector, _ = fit_pyramid(levels, epochs=0)
    with pytest.raises(UserError, match="4, 6, 5 channels"):
        detector.score(wrong(levels))
    with pytest.raises(UserError, match="4, 6, 5 channels"):
        detector.patch_scores(wrong(levels))


@pytest.mark.parametrize("grid", [(8, 6), (9, 7), (15, 12), (16, 12), (33, 47), (112, 112), (2, 2)])
@pytest.mark.parametrize("fitted", [(8, 6), (7, 7), (57, 57)])
def test_images_of_any_size_are_scored_as_long_as_levels_go_together(fitted, grid):
    """Networks halve a size and round up, so that shares differ by what is rounded."""

    def halved(size: tuple[int, int]) -> list[tuple[int, int]]:
        sizes = [size]
        for _ in range(2):
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        return sizes

    channels = (4, 6, 5)
    rng = torch.Generator().manual_seed(0)
    levels = [
        torch.rand(2, c, *s, generator=rng) for c, s in zip(channels, halved(fitted), strict=True)
    ]
    detector, _ = fit_pyramid(levels, preset="lab", seed=0)
    other = [
        torch.rand(1, c, *s, generator=rng) for c, s in zip(channels, halved(grid), strict=True)
    ]
    assert detector.score(other).shape == (1, *grid)
    if min(grid) > 8:
        wrong = [other[0], other[0][:, :1].repeat(1, 6, 1, 1), other[2]]
        with pytest.raises(UserError, match="share of the finest one's size must be the same"):
            detector.score(wrong)


def test_a_process_that_allows_bf16_products_changes_no_score():
    """As Lightning users do: `torch.set_float32_matmul_precision("medium")` makes products bf16."""
    generator = torch.Generator().manual_seed(0)
    levels = [torch.rand(4, c, s, s, generator=generator) for c, s in ((48, 12), (96, 6))]
    for preset in ("official", "lab"):
        expected = fit_pyramid(levels, preset=preset, seed=0)[0].score(levels)
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        try:
            found = fit_pyramid(levels, preset=preset, seed=0)[0].score(levels)
            assert torch.get_float32_matmul_precision() == "medium"
        finally:
            torch.set_float32_matmul_precision(before)
        assert torch.equal(found, expected)
