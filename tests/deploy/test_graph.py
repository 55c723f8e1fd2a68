"""The graph gives what the model gives, whatever the settings, and never a number for none."""

import numpy as np
import pytest
import torch
from helpers.exports import RESNET, make_runtime, photographs

from cfa_lab.data.geometry import Geometry
from cfa_lab.deploy.exporting import graph_of
from cfa_lab.deploy.graph import levels, patches
from cfa_lab.deploy.graph.patches import lowest
from cfa_lab.deploy.graph.whole import rounded_to_half
from cfa_lab.errors import UserError

STRETCH = Geometry(resize="stretch", height=64, width=96)


def scored_by_graph(runtime, images):
    pixels = np.stack([one.pixels for (one,) in images])
    with torch.no_grad():
        scores, maps = graph_of(runtime)(torch.from_numpy(pixels))
    return scores.numpy(), maps.numpy()


def assert_same(runtime, rtol=3e-6):
    """Images of the input's own size, so that a window's map is the input's."""
    geometry = runtime.description.image
    images = photographs(geometry, [geometry.input_size] * 3)
    scores, maps = scored_by_graph(runtime, images)
    for found, score, found_map in zip(runtime.score(images), scores, maps, strict=True):
        np.testing.assert_allclose(score, found.score, rtol=rtol)
        largest = np.abs(found.window_map).max()
        np.testing.assert_allclose(found_map, found.window_map, rtol=0, atol=rtol * largest)


@pytest.mark.parametrize(
    "scoring",
    [
        {},
        {"weighting": "nearest", "num_neighbours": 1},
        {"num_neighbours": 1},
        {"num_neighbours": 9},
        {"num_neighbours": 100},
        {"sigma": 0.0},
        {"border": "mirror", "reducer": "top_mean", "top_fraction": 0.05},
    ],
    ids=str,
)
def test_the_graph_scores_as_the_model(scoring):
    assert_same(make_runtime(geometry=STRETCH, scoring=scoring))


@pytest.mark.parametrize("num_entries", [1, 2, 15, 16, 17, 48, 400])
def test_banks_of_any_size(num_entries):
    scoring = {"num_neighbours": min(3, num_entries)}
    assert_same(make_runtime(num_entries=num_entries, scoring=scoring))


@pytest.mark.parametrize(
    "layers", [["layer1"], ["layer2", "layer3"], ["layer3"], ["layer1", "layer2", "layer4"]]
)
def test_any_levels(layers):
    assert_same(make_runtime(RESNET | {"layers": layers}, geometry=STRETCH))


@pytest.mark.parametrize("channels_a_column", [0, 16, 1000])
def test_levels_upsampled_before_or_after_they_are_mapped(monkeypatch, channels_a_column):
    """All after; the first coarser level, of 128 channels and 12 columns, before; all before."""
    monkeypatch.setattr(levels, "CHANNELS_A_COLUMN", channels_a_column)
    assert_same(make_runtime(geometry=STRETCH))


@pytest.mark.parametrize("size", [(32, 32), (33, 70), (16, 48)])
def test_sizes_that_no_stride_divides(size):
    geometry = Geometry(resize="stretch", height=size[0], width=size[1])
    assert_same(make_runtime(geometry=geometry))


@pytest.mark.parametrize("descriptor", [{"coordinates": False}, {"gamma_d": 7}, {"init": "he"}])
def test_any_descriptor(descriptor):
    assert_same(make_runtime(**descriptor))


@pytest.mark.parametrize("block_bytes", [1, 30_000, 1e12])
def test_blocks_of_any_height(monkeypatch, block_bytes):
    monkeypatch.setattr(patches, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(patches, "MAX_BLOCKS", 10)
    assert_same(make_runtime(geometry=STRETCH))


def test_features_that_share_an_offset_lose_nothing():
    """In the expanded form, uncentred, |phi|^2 is 10^5 times the squared distances here."""
    assert_same(make_runtime(offset=300.0), rtol=3e-5)


def test_features_are_rounded_to_half_where_the_run_did():
    runtime = make_runtime(preset="lab", scoring={"num_neighbours": 1})
    assert_same(runtime, rtol=1e-4)
    values = torch.randn(10_000) * torch.logspace(-4, 4, 10_000)
    torch.testing.assert_close(rounded_to_half(values), values.half().float(), rtol=0, atol=3e-8)


def test_lowest_finds_the_lowest_whatever_stands_twice():
    generator = torch.Generator().manual_seed(0)
    for m, k in [(1, 1), (5, 5), (16, 3), (160, 3), (160, 10), (480, 7)]:
        values = torch.randint(0, 50, (2, 30, m), generator=generator).float()
        found = values.gather(2, lowest(values, k)).sort().values
        assert torch.equal(found, values.sort().values[..., :k])
        assert all(len(set(row)) == k for row in lowest(values, k).flatten(0, 1).tolist())


def test_any_number_of_images_in_a_batch():
    runtime = make_runtime()
    images = photographs(runtime.description.image, [(64, 64)] * 3)
    together = scored_by_graph(runtime, images)
    for i, image in enumerate(images):
        alone = scored_by_graph(runtime, [image])
        np.testing.assert_allclose(alone[0][0], together[0][i], rtol=1e-6)
        np.testing.assert_allclose(alone[1][0], together[1][i], rtol=1e-5)


def broken(runtime, monkeypatch, value, *, at=(0, 0, 0)):
    """The same model, of which one feature of the second image is not what it was."""
    forward = type(runtime.extractor.backbone).forward

    def spoilt(backbone, images):
        levels = forward(backbone, images)
        if len(images) > 1:
            levels[-1][(1, *at)] = value
        return levels

    monkeypatch.setattr(type(runtime.extractor.backbone), "forward", spoilt)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_feature_that_is_no_number_makes_the_score_infinite(monkeypatch, value):
    runtime = make_runtime()
    broken(runtime, monkeypatch, value, at=(5, 2, 2))
    scores, maps = scored_by_graph(runtime, photographs(Geometry(**GEOMETRY), SIZES))
    assert scores[1] == np.inf and np.isinf(maps[1]).all()
    assert np.isfinite(scores[[0, 2]]).all() and np.isfinite(maps[[0, 2]]).all()


GEOMETRY = {"resize": "stretch", "height": 64, "width": 64}
SIZES = [(64, 64)] * 3


def test_what_overflows_half_precision_makes_the_score_infinite(monkeypatch):
    images = photographs(Geometry(**GEOMETRY), SIZES)
    for preset, sound in (("official", True), ("lab", False)):
        runtime = make_runtime(preset=preset)
        with monkeypatch.context() as patch:
            broken(runtime, patch, 9 * 66_000.0, at=(5, 2, 2))
            scores, _ = scored_by_graph(runtime, images)
        assert np.isfinite(scores[1]) == sound
        assert np.isfinite(scores[[0, 2]]).all()


def test_tiles_are_refused():
    geometry = Geometry(resize="tile", height=64, width=64, overlap=32)
    with pytest.raises(UserError, match=r"image\.resize=tile.*--format model"):
        graph_of(make_runtime(geometry=geometry))
