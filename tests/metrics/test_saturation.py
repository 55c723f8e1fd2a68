"""sPRO: exact, however it is fed, and drawn anew like all other metrics."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.literal_metrics import (
    SCORE_STYLES,
    literal_spro_by_kind,
    random_test_set,
    regions_of,
)

from cfa_lab.errors import UserError
from cfa_lab.metrics.anomaly import AnomalyMetrics
from cfa_lab.metrics.rankings import spros
from cfa_lab.metrics.resampling import KindsOfDefects
from cfa_lab.metrics.saturation import (
    Defect,
    rank_by_kind,
    saturating_pixels,
    saturation_area,
)

LIMITS = (0.05, 0.3, 0.77, 1.0)
NAMES = ("spro_05", "spro_30", "spro_77", "spro_100")

Pairs = list[list[tuple[np.ndarray, int]]]


def random_defects(
    rng: np.random.Generator, shape: tuple[int, int], count: int
) -> list[tuple[np.ndarray, int]]:
    defects = []
    for _ in range(count):
        mask = rng.random(shape) < 0.3
        mask[0, 0] = True  # all defects overlap there
        defects.append((mask, int(rng.integers(1, mask.sum() + 1))))
    return defects


def loco_like(
    rng: np.random.Generator, style: str, kinds: list[int]
) -> tuple[list[np.ndarray], Pairs]:
    maps = [SCORE_STYLES[style](rng, (5, int(rng.integers(3, 7)))) for _ in kinds]
    return maps, [
        random_defects(rng, score_map.shape, int(rng.integers(1, 4)) if kind else 0)
        for score_map, kind in zip(maps, kinds, strict=True)
    ]


def as_defects(pairs: Pairs) -> list[list[Defect]]:
    return [[Defect(mask, area) for mask, area in found] for found in pairs]


def unions(maps: list[np.ndarray], pairs: Pairs) -> list[np.ndarray]:
    empty = (np.zeros(score_map.shape, dtype=bool) for score_map in maps)
    return [
        np.logical_or.reduce([none, *(mask for mask, _ in found)])
        for none, found in zip(empty, pairs, strict=True)
    ]


def update(
    metrics: AnomalyMetrics, maps: list[np.ndarray], pairs: Pairs, kinds: list[int]
) -> AnomalyMetrics:
    metrics.update(maps, unions(maps, pairs), defects=as_defects(pairs), kinds=kinds)
    return metrics


def values_of(metrics: AnomalyMetrics) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.compute().items()}


@pytest.mark.parametrize("kinds", [[0, 1, 2], [0, 0, 1, 1, 2], [1, 0, 1], [3, 1, 1, 3], [1]])
@pytest.mark.parametrize("style", ["smooth", "ties", "constant"])
def test_spro_equals_the_literal_version(style: str, kinds: list[int]) -> None:
    rng = np.random.default_rng(2)
    for _ in range(4):
        maps, pairs = loco_like(rng, style, kinds)
        values = values_of(update(AnomalyMetrics(LIMITS, with_spro=True), maps, pairs, kinds))
        for name, limit in zip(NAMES, LIMITS, strict=True):
            expected = literal_spro_by_kind(maps, pairs, kinds, limit)
            assert values[name] == pytest.approx(expected, abs=1e-12)


def test_spro_is_aupro_when_nothing_saturates() -> None:
    maps, masks = random_test_set(np.random.default_rng(3), "smooth")
    pairs = [[(region, int(region.sum())) for region in regions_of(mask)] for mask in masks]
    kinds = [int(mask.any()) for mask in masks]
    values = values_of(update(AnomalyMetrics(with_spro=True), maps, pairs, kinds))
    assert values["spro_30"] == pytest.approx(values["aupro_30"], abs=1e-12)
    assert values["spro_05"] == pytest.approx(values["aupro_05"], abs=1e-12)


def test_a_saturated_defect_is_found_in_full_and_the_rest_of_it_is_no_false_positive() -> None:
    mask = np.zeros((4, 5), dtype=bool)
    mask[:2] = True  # 10 pixels, of which 3 are enough
    score_map = np.where(np.arange(20).reshape(4, 5) < 3, 2.0, 0.0)
    score_map[2:] = 1.0  # all normal pixels score above the other 7
    metrics = update(AnomalyMetrics(with_spro=True), [score_map], [[(mask, 3)]], [1])
    values = values_of(metrics)
    assert values["spro_30"] == 1.0
    assert values["aupro_30"] == pytest.approx(0.3)


@pytest.mark.parametrize("spill_bytes", [None, 0])
def test_batches_merging_and_spilling_change_nothing(spill_bytes: int | None) -> None:
    kinds = [0, 2, 1, 0, 1, 2]
    maps, pairs = loco_like(np.random.default_rng(4), "ties", kinds)
    whole = values_of(update(AnomalyMetrics(with_spro=True), maps, pairs, kinds))
    first, second = (AnomalyMetrics(with_spro=True, spill_bytes=spill_bytes) for _ in range(2))
    for part, images in ((first, [4, 1]), (second, [0, 5, 3]), (first, [2])):
        chosen: Any = ([every[i] for i in images] for every in (maps, pairs, kinds))
        update(part, *chosen)
    first.merge_state(second)
    assert values_of(first) == pytest.approx(whole, abs=1e-13)
    assert first.intervals(num_resamples=5).keys() == whole.keys()


@pytest.mark.parametrize("style", ["smooth", "ties", "constant"])
def test_without_images_it_is_that_of_a_test_set_without_them(style: str) -> None:
    kinds = [0, 0, 0, 1, 1, 1, 2, 2]
    maps, pairs = loco_like(np.random.default_rng(5), style, kinds)
    images = [
        replace(saturating_pixels(score_map, found, name=""), negatives=score_map[~mask])
        for score_map, found, mask in zip(maps, as_defects(pairs), unions(maps, pairs), strict=True)
    ]
    kind_array = np.array(kinds)
    defects = KindsOfDefects(images, kind_array, rank_by_kind(images, kind_array))
    groups = [np.zeros(0, dtype=int), *(np.array([i]) for i in range(8)), np.array([6, 7])]
    times = np.zeros((len(groups), 8 + 4))
    for row, group in enumerate(groups):
        times[row, [i for i in range(8) if i not in group]] = 1
    labels = np.minimum(kind_array, 1)
    left = defects.summed(times, labels, {0: 3, 1: 5}, num=10_000)
    for row, group in enumerate(groups):
        kept = [i for i in range(len(kinds)) if i not in group]
        chosen: Any = ([every[i] for i in kept] for every in (maps, pairs, kinds))
        expected = literal_spro_by_kind(*chosen, limit=0.3)
        assert spros(left, limit=0.3)[row] == pytest.approx(expected, abs=1e-12)


def test_spro_has_an_interval_like_every_metric() -> None:
    kinds = [0, 0, 0, 1, 1, 2, 2]
    maps, pairs = loco_like(np.random.default_rng(6), "smooth", kinds)
    metrics = update(AnomalyMetrics(with_spro=True), maps, pairs, kinds)
    interval = metrics.intervals(num_resamples=200)["spro_30"]
    assert interval.low <= values_of(metrics)["spro_30"] <= interval.high
    assert interval.low < interval.high


def test_spro_is_undefined_with_a_reason_where_other_pixel_metrics_are() -> None:
    blank = np.zeros((2, 2))
    for masks, defects, kinds, reason in [
        ([blank], [[]], [0], "no defect images"),
        ([blank, blank], [[], []], [0, 1], "no defect pixels"),
        ([blank, None], [[], []], [0, 1], "no defect image has a mask"),
        ([blank, blank + 1], [[], []], [0, 1], "no defects were given"),
        ([blank + 1], [[Defect(blank + 1, 1)]], [1], "no normal images"),
    ]:
        metrics = AnomalyMetrics(with_spro=True)
        labels = [int(kind > 0) for kind in kinds]
        metrics.update([blank] * len(kinds), masks, labels, defects=defects, kinds=kinds)
        found = metrics.undefined()
        assert np.isnan(values_of(metrics)["spro_30"])
        assert found["spro_30"] == found["spro_05"]
        assert reason in {*found.values()} or any(r.startswith(reason) for r in found.values())
        assert np.isnan(metrics.intervals(num_resamples=3)["spro_30"].low)


def test_saturation_areas_follow_locos_configuration() -> None:
    assert saturation_area(100, threshold=30, relative=False) == 30
    assert saturation_area(20, threshold=30, relative=False) == 20
    assert saturation_area(99, threshold=0.5, relative=True) == 49
    assert saturation_area(1, threshold=0.5, relative=True) == 1


def test_what_does_not_fit_is_refused_by_name() -> None:
    score_map, mask = np.zeros((2, 2)), np.array([[True, False]])
    with pytest.raises(UserError, match="x: a defect's mask is \\(1, 2\\)"):
        saturating_pixels(score_map, [Defect(mask, 1)], name="x")
    with pytest.raises(UserError, match="x: the saturation area 2"):
        saturating_pixels(mask * 1.0, [Defect(mask, 2)], name="x")
    with pytest.raises(UserError, match="2 lists of defects for 1 maps"):
        AnomalyMetrics(with_spro=True).update([score_map], [score_map], defects=[[], []])
    for with_spro, defects in ((True, None), (False, [[]])):
        with pytest.raises(UserError, match="sPRO needs the defects"):
            AnomalyMetrics(with_spro=with_spro).update([score_map], [score_map], defects=defects)


def test_without_spro_nothing_is_kept_for_it() -> None:
    metrics = AnomalyMetrics()
    metrics.update(np.zeros((1, 2, 2)), np.eye(2)[None])
    assert not any(name.startswith("spro") for name in metrics.compute())
    for name in ("kinds", "num_defects", "num_saturating", "saturating", "saturation_areas"):
        assert not sum(chunk.numel() for chunk in getattr(metrics, name))
