import numpy as np
import pytest
from helpers.literal_metrics import SCORE_STYLES, random_test_set, regions_of

from cfa_lab.bench.literal_pro import literal_aupro
from cfa_lab.metrics.pixels import split_pixels
from cfa_lab.metrics.ranking import rank
from cfa_lab.metrics.regions import aupro, region_areas

LIMITS = (0.05, 0.3, 0.77, 1.0)


def aupro_of(maps: list[np.ndarray], masks: list[np.ndarray], limit: float) -> float:
    images = [split_pixels(m, mask) for m, mask in zip(maps, masks, strict=True)]
    ranking = rank(
        [image.negatives for image in images],
        np.concatenate([image.positives for image in images]),
        weights=np.concatenate([image.weights for image in images]),
        num_regions=sum(image.num_regions for image in images),
    )
    return aupro(ranking, limit=limit)


def test_diagonal_neighbours_are_one_region() -> None:
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]], dtype=bool)
    regions = region_areas(mask)
    assert regions.num_regions == 2
    np.testing.assert_array_equal(regions.areas, [2, 3, 2, 3, 3])


def test_regions_at_the_borders_are_measured_like_any_other() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        mask = rng.random((int(rng.integers(1, 8)), int(rng.integers(1, 8)))) < 0.4
        expected = np.zeros(mask.shape, dtype=int)
        for region in regions_of(mask):
            expected[region] = region.sum()
        np.testing.assert_array_equal(region_areas(mask).areas, expected[mask])
        assert region_areas(mask).num_regions == len(regions_of(mask))


@pytest.mark.parametrize("style", SCORE_STYLES)
def test_aupro_equals_the_literal_version(style: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        maps, masks = random_test_set(rng, style)
        expected = literal_aupro(maps, masks, limits=LIMITS)
        values = [aupro_of(maps, masks, limit) for limit in LIMITS]
        assert values == pytest.approx(expected, abs=1e-12)


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    mask = np.zeros((10, 10), dtype=bool)
    mask[:5], mask[9, 9] = True, True  # 50 pixels and 1
    score_map = np.where(mask, 1.0, 0.0)
    score_map[9, 9] = -1.0  # the small one is found last
    assert aupro_of([score_map], [mask], 0.3) == pytest.approx(0.5)
