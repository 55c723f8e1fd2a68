"""Each variant against a loop over its thresholds, and the defect that its docstring warns of."""

import numpy as np
import pytest
from helpers.literal_metrics import literal_area, random_test_set, regions_of

from cfa_lab.metrics.anomaly import AnomalyMetrics
from cfa_lab.metrics.legacy import (
    authors_aupro,
    equal_width,
    evenly_spaced_f1max,
    normalise_and_clamp,
    resize_mask,
)

Arrays = list[np.ndarray]


def toy(seed: int) -> tuple[Arrays, Arrays]:
    return random_test_set(np.random.default_rng(seed), "smooth", num_images=6)


def binary_counts(found: Arrays, masks: Arrays) -> tuple[float, float, float, float]:
    """False-positive rate, mean region overlap, recall and precision of binary maps."""
    truth = np.concatenate([mask.ravel() for mask in masks])
    flat = np.concatenate([f.ravel() for f in found])
    overlaps = [
        f[region].mean()
        for f, mask in zip(found, masks, strict=True)
        for region in regions_of(mask)
    ]
    precision = truth[flat].mean() if flat.any() else 1.0
    return flat[~truth].mean(), float(np.mean(overlaps)), flat[truth].mean(), precision


@pytest.mark.parametrize("seed", range(5))
def test_authors_aupro_equals_its_loop(seed: int) -> None:
    maps, masks = toy(seed)
    low, high = min(m.min() for m in maps), max(m.max() for m in maps)
    scaled = [(m - low) / (high - low) for m in maps]
    rates, overlaps = [], []
    for step in range(200):
        threshold = np.float32(1 - step / 200)
        rate, overlap, _, _ = binary_counts([m > threshold for m in scaled], masks)
        if rate <= 0.3:
            rates.append(rate)
            overlaps.append(overlap)
    x = (np.array(rates) - min(rates)) / (max(rates) - min(rates))
    y = (np.array(overlaps) - min(overlaps)) / (max(overlaps) - min(overlaps))
    expected = literal_area(list(x), list(y), 1.0)
    assert authors_aupro(maps, masks) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("num_strips", [50, 200, 1000])
def test_equal_width_equals_its_loop(num_strips: int) -> None:
    maps, masks = toy(7)
    low, high = min(m.min() for m in maps), max(m.max() for m in maps)
    ends = np.linspace(0, 1, num_strips + 1, dtype=np.float32) * (high - low) + low
    rows = [binary_counts([m >= end for m in maps], masks) for end in ends[::-1]]
    rate, overlap, recall, precision = (list(column) for column in zip(*rows, strict=True))
    result = equal_width(maps, masks, num_strips=num_strips)
    assert result.auroc == pytest.approx(literal_area(rate, recall, 1.0), abs=1e-9)
    assert result.aupr == pytest.approx(literal_area(recall, precision, 1.0), abs=1e-9)
    assert result.aupro == pytest.approx(literal_area(rate, overlap, 0.3) / 0.3, abs=1e-9)


def test_evenly_spaced_f1max_equals_its_loop() -> None:
    maps, masks = toy(8)
    truth = np.concatenate([mask.ravel() for mask in masks])
    flat = np.concatenate([m.ravel() for m in maps]).astype(np.float64)
    scaled = (flat - flat.min()) / (flat.max() - flat.min())
    values = []
    for threshold in np.arange(0, 1.001, 0.05):
        found = scaled > threshold
        values.append(2 * np.sum(found & truth) / (found.sum() + truth.sum()))
    assert evenly_spaced_f1max(maps, masks) == pytest.approx(max(values), abs=1e-9)


def test_equal_bins_depend_on_the_scale_of_the_scores_where_ranks_do_not() -> None:
    maps, masks = toy(9)
    stretched = [np.exp(6 * m.astype(np.float64)) for m in maps]
    exact = []
    for given in (maps, stretched):
        metrics = AnomalyMetrics()
        metrics.update(given, masks)
        exact.append(float(metrics.compute()["pixel_auroc"]))
    assert exact[0] == exact[1]
    assert abs(equal_width(stretched, masks).auroc - exact[0]) > 0.05
    assert equal_width(maps, masks).auroc == pytest.approx(exact[0], abs=0.01)


def test_clamping_ties_everything_far_from_the_threshold() -> None:
    scores = np.array([0.0, 4.0, 5.0, 6.0, 20.0])
    clamped = normalise_and_clamp(scores, threshold=5.0, low=4.0, high=6.0)
    np.testing.assert_allclose(clamped, [0.0, 0.0, 0.5, 1.0, 1.0])


def test_resized_masks_grow_or_lose_thin_defects_with_the_rule() -> None:
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[10, 10:50] = 255  # one pixel thin, a quarter of a pixel after resizing
    assert resize_mask(mask, size=16, above=0.0).sum() > 10
    assert resize_mask(mask, size=16, above=0.5).sum() == 0
    np.testing.assert_array_equal(resize_mask(mask, size=64), mask != 0)


def test_constant_maps_have_no_authors_aupro() -> None:
    maps, masks = toy(10)
    flat = [np.zeros_like(m) for m in maps]
    assert np.isnan(authors_aupro(flat, masks))
    assert np.isnan(equal_width(flat, masks).aupro)
