import numpy as np
import pytest
from helpers.literal_metrics import SCORE_STYLES, literal_spro, random_test_set, regions_of

from cfa_lab.bench.literal_pro import literal_aupro
from cfa_lab.errors import UserError
from cfa_lab.metrics.pixels import split_pixels
from cfa_lab.metrics.ranking import rank
from cfa_lab.metrics.regions import Defect, aupro, region_areas, saturation_area, spro

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


def random_defects(
    rng: np.random.Generator, shape: tuple[int, int], count: int
) -> list[tuple[np.ndarray, int]]:
    defects = []
    for _ in range(count):
        mask = rng.random(shape) < 0.3
        mask[0, 0] = True  # all defects overlap there
        defects.append((mask, int(rng.integers(1, mask.sum() + 1))))
    return defects


@pytest.mark.parametrize("style", ["smooth", "ties", "constant"])
def test_spro_equals_the_literal_version(style: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(10):
        maps = [SCORE_STYLES[style](rng, (5, 6)) for _ in range(3)]
        defects = [random_defects(rng, (5, 6), count) for count in (0, 1, 3)]
        given = [[Defect(mask, area) for mask, area in found] for found in defects]
        values = spro(maps, given, limits=LIMITS)
        for limit in LIMITS:
            assert values[limit] == pytest.approx(literal_spro(maps, defects, limit), abs=1e-12)


def test_spro_is_aupro_when_nothing_saturates() -> None:
    maps, masks = random_test_set(np.random.default_rng(3), "smooth")
    defects = [[Defect(r, int(r.sum())) for r in regions_of(mask)] for mask in masks]
    assert spro(maps, defects, limits=[0.3])[0.3] == pytest.approx(aupro_of(maps, masks, 0.3))


def test_spro_without_defects_is_undefined() -> None:
    assert np.isnan(spro([np.zeros((2, 2))], [[]], limits=[0.3])[0.3])


def test_saturation_areas_follow_locos_configuration() -> None:
    assert saturation_area(100, threshold=30, relative=False) == 30
    assert saturation_area(20, threshold=30, relative=False) == 20
    assert saturation_area(99, threshold=0.5, relative=True) == 49
    assert saturation_area(1, threshold=0.5, relative=True) == 1


def test_spro_refuses_masks_and_areas_that_do_not_fit() -> None:
    score_map, mask = np.zeros((2, 2)), np.array([[True, False]])
    with pytest.raises(UserError, match="image 0 is \\(1, 2\\)"):
        spro([score_map], [[Defect(mask, 1)]], limits=[0.3])
    with pytest.raises(UserError, match="saturation area 2"):
        spro([mask * 1.0], [[Defect(mask, 2)]], limits=[0.3])
