import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from cfa_lab import reference
from cfa_lab.method.neighbours import NeighbourSearch
from cfa_lab.method.scoring import Scoring


@pytest.mark.parametrize("size", [(48, 40), (5, 7), (1, 1), (3, 200)])
@pytest.mark.parametrize("border", ["reflect", "mirror"])
def test_smoothing_is_scipys_filter_at_any_size(size, border, dtype):
    maps = torch.rand(2, *size, dtype=dtype)
    ours = Scoring(num_neighbours=3, border=border).smooth(maps)
    scipys = np.stack([gaussian_filter(image, 4, mode=border) for image in maps.numpy()])
    torch.testing.assert_close(ours, torch.from_numpy(scipys))


def test_maps_and_scores_agree_with_the_reference(dtype):
    bank, phi = torch.randn(30, 5, dtype=dtype), torch.randn(2, 12, 5, dtype=dtype)
    scoring = Scoring(num_neighbours=3)
    squared = NeighbourSearch(bank).nearest(phi.flatten(0, 1), 3).squared_distances
    scores = scoring.patch_scores(squared).unflatten(0, (2, 12))
    torch.testing.assert_close(scores, reference.patch_scores(phi, bank), rtol=1e-4, atol=1e-5)
    grid = scores.unflatten(1, (4, 3))
    maps = scoring.maps(grid, (32, 24))
    torch.testing.assert_close(maps, torch.from_numpy(reference.score_maps(grid, (32, 24))))
    assert torch.equal(scoring.image_scores(maps), maps.flatten(1).max(dim=1).values)


def test_zero_distances_score_zero():
    scores = Scoring(num_neighbours=3).patch_scores(torch.zeros(4, 3))
    assert not scores.any()


def test_one_neighbour_makes_softmin_the_nearest_distance():
    squared = torch.rand(6, 1)
    nearest = Scoring(num_neighbours=1, weighting="nearest").patch_scores(squared)
    torch.testing.assert_close(Scoring(num_neighbours=1).patch_scores(squared), nearest)
    torch.testing.assert_close(nearest, squared[:, 0].sqrt())


def test_top_mean_averages_the_highest_share():
    maps = torch.arange(200.0).view(1, 10, 20)
    top = Scoring(num_neighbours=1, reducer="top_mean", top_fraction=0.02)
    assert float(top.image_scores(maps)) == (199 + 198 + 197 + 196) / 4


def test_sigma_zero_smooths_nothing():
    maps = torch.rand(1, 6, 6)
    assert torch.equal(Scoring(num_neighbours=1, sigma=0).smooth(maps), maps)
