import numpy as np
import pytest
from helpers.literal_metrics import literal_values, random_test_set

from cfa_lab.bench.metric_contestants import synthetic_maps
from cfa_lab.metrics.anomaly import AnomalyMetrics
from cfa_lab.metrics.bootstrap import bootstrap_replicates, draw_times, spread_thresholds
from cfa_lab.metrics.pixels import split_pixels
from cfa_lab.metrics.ranking import rank

LIMITS = (0.3, 0.05)


def replicates(
    maps: list[np.ndarray], masks: list[np.ndarray], times: np.ndarray, num_thresholds: int
) -> dict[str, np.ndarray]:
    images = [split_pixels(m, mask) for m, mask in zip(maps, masks, strict=True)]
    pixel = rank(
        [image.negatives for image in images],
        np.concatenate([image.positives for image in images]),
        weights=np.concatenate([image.weights for image in images]),
        num_regions=sum(image.num_regions for image in images),
    )
    labels, scores = labels_of(masks), np.array([float(m.max()) for m in maps])
    return bootstrap_replicates(
        images,
        labels,
        scores,
        image=rank([scores[labels == 0]], scores[labels == 1]),
        pixel=pixel,
        aupro_limits=LIMITS,
        times=times,
        num_thresholds=num_thresholds,
    )


def naive_replicates(
    maps: list[np.ndarray], masks: list[np.ndarray], times: np.ndarray
) -> dict[str, list[float]]:
    """Literal metrics of the test set in which each image really appears that often."""
    rows = []
    for row in times.astype(int):
        drawn = np.repeat(np.arange(len(maps)), row)
        rows.append(literal_values([maps[i] for i in drawn], [masks[i] for i in drawn], LIMITS))
    return {name: [row[name] for row in rows] for name in rows[0]}


def labels_of(masks: list[np.ndarray]) -> np.ndarray:
    return np.array([int(mask.any()) for mask in masks])


@pytest.mark.parametrize("style", ["smooth", "ties", "constant"])
def test_replicates_are_exact_on_few_distinct_defect_scores(style: str) -> None:
    maps, masks = random_test_set(np.random.default_rng(0), style, num_images=8)
    times = draw_times(labels_of(masks), num_resamples=25, seed=0)
    values = replicates(maps, masks, times, num_thresholds=10_000)
    for name, expected in naive_replicates(maps, masks, times).items():
        np.testing.assert_allclose(values[name], expected, atol=1e-12, err_msg=name)


def test_replicates_on_a_grid_are_close_to_the_naive_ones() -> None:
    """3000 distinct defect scores, 1000 of them looked at: errors far below the spread."""
    stack, stacked_masks = synthetic_maps(88, 32, seed=1)
    maps, masks = list(stack), list(stacked_masks)
    assert np.unique(stack[stacked_masks]).size > 2500
    times = draw_times(labels_of(masks), num_resamples=8, seed=0)
    values = replicates(maps, masks, times, num_thresholds=1000)
    for name, expected in naive_replicates(maps, masks, times).items():
        error = np.max(np.abs(values[name] - np.array(expected)))
        assert error < 1e-3, name
        assert error <= 0.05 * np.std(expected), name


def test_thresholds_are_spread_over_the_whole_curve() -> None:
    rng = np.random.default_rng(2)
    ranking = rank(
        [rng.normal(size=20_000)],
        rng.normal(size=3000) + 2,
        weights=np.ones(3000),
        num_regions=3000,
    )
    thresholds = spread_thresholds(ranking, num=100)
    assert 60 <= thresholds.size <= 100
    assert thresholds[0] == ranking.thresholds[0] and thresholds[-1] == ranking.thresholds[-1]
    assert (np.diff(thresholds) < 0).all()
    hits = np.searchsorted(-ranking.thresholds, -thresholds)
    assert np.diff(ranking.true_positives[1::2][hits]).max() < 0.05 * 3000


def test_resamples_keep_the_number_of_normal_and_defect_images() -> None:
    labels = np.array([0, 1, 1, 0, 1, 1, 1])
    times = draw_times(labels, num_resamples=50, seed=3)
    assert (times[:, labels == 0].sum(axis=1) == 2).all()
    assert (times[:, labels == 1].sum(axis=1) == 5).all()
    assert len(np.unique(times, axis=0)) > 10
    np.testing.assert_array_equal(times, draw_times(labels, num_resamples=50, seed=3))


def metrics_of(num_images: int) -> AnomalyMetrics:
    metrics = AnomalyMetrics()
    metrics.update(*synthetic_maps(32, num_images, seed=4))
    return metrics


def test_intervals_hold_the_value_and_narrow_with_more_images() -> None:
    widths = {}
    for num_images in (12, 120):
        metrics = metrics_of(num_images)
        values = metrics.compute()
        intervals = metrics.intervals(num_resamples=200)
        assert intervals.keys() == values.keys()
        for name, interval in intervals.items():
            assert interval.low <= float(values[name]) <= interval.high, name
        widths[num_images] = {name: i.high - i.low for name, i in intervals.items()}
    for name in ("image_auroc", "pixel_ap", "pixel_f1max", "aupro_05"):
        assert widths[120][name] < 0.75 * widths[12][name], name


def test_intervals_depend_on_the_seed_alone() -> None:
    metrics = metrics_of(12)
    first = metrics.intervals(num_resamples=30, seed=5)
    assert metrics.intervals(num_resamples=30, seed=5) == first
    assert metrics.intervals(num_resamples=30, seed=6) != first


def test_higher_confidence_gives_wider_intervals() -> None:
    metrics = metrics_of(12)
    narrow = metrics.intervals(num_resamples=200, confidence=0.5)["pixel_ap"]
    wide = metrics.intervals(num_resamples=200, confidence=0.99)["pixel_ap"]
    assert wide.low < narrow.low < narrow.high < wide.high


def test_undefined_metrics_have_no_interval() -> None:
    metrics = AnomalyMetrics()
    metrics.update(np.zeros((2, 3, 3)), None, labels=[0, 1], scores=[0.1, 0.2])
    intervals = metrics.intervals(num_resamples=10)
    assert intervals["image_auroc"].low == 1.0
    assert np.isnan([intervals["pixel_ap"].low, intervals["aupro_30"].high]).all()
    for num_images in (2, 0):
        metrics = AnomalyMetrics()
        metrics.update(np.zeros((num_images, 3, 3)), np.zeros((num_images, 3, 3)))
        assert all(np.isnan(i.low) for i in metrics.intervals(num_resamples=10).values())
