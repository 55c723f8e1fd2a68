import numpy as np
import pytest
from helpers.literal_metrics import literal_values, random_test_set

from cfa_lab.bench.metric_contestants import synthetic_maps
from cfa_lab.metrics.families import LIMITED, OF_RANKING
from cfa_lab.metrics.jackknife import leave_out
from cfa_lab.metrics.names import at_limit
from cfa_lab.metrics.pixels import split_pixels
from cfa_lab.metrics.ranking import rank
from cfa_lab.metrics.resampling import (
    count_per_image,
    count_scores,
    draw_times,
    spread_thresholds,
)

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
    image = rank([scores[labels == 0]], scores[labels == 1])
    of_images = count_scores(scores, labels, spread_thresholds(image, num=num_thresholds))
    of_pixels = count_per_image(images, spread_thresholds(pixel, num=num_thresholds))
    found = {}
    for kind, rows in (("image", of_images.summed(times)), ("pixel", of_pixels.summed(times))):
        found |= {f"{kind}_{name}": metric.values(rows) for name, metric in OF_RANKING.items()}
    for name, metric in LIMITED.items():
        for limit in LIMITS:
            found[at_limit(name, limit)] = metric.values(rows, limit=limit)
    return found


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


def test_images_left_out_count_no_times_and_unseen_ones_once() -> None:
    labels = np.array([0, 1, 1, 0, 1, 0])
    left_out = leave_out(labels, np.array([True] * 5 + [False]))
    assert not isinstance(left_out, str)
    times = left_out.times()
    assert times.shape == (1 + 2 + 3 + 4, 6 + 4)
    np.testing.assert_array_equal(times[0], [1] * 6 + [0] * 4)
    np.testing.assert_array_equal(np.argmin(times[1:6, :6], axis=1), [0, 3, 1, 2, 4])
    np.testing.assert_array_equal(times[1:6].sum(axis=1), [5] * 5)
    np.testing.assert_array_equal(times[6:, :6], np.ones((4, 6)))
    np.testing.assert_array_equal(times[6:, 6:], np.eye(4))


def test_unseen_images_are_of_mean_size_and_missed_or_found_wholly() -> None:
    maps, masks = random_test_set(np.random.default_rng(1), "smooth", num_images=8)
    images = [split_pixels(m, mask) for m, mask in zip(maps, masks, strict=True)]
    thresholds = np.unique(np.concatenate([image.positives for image in images]))[::-1]
    labels = labels_of(masks)
    counts = count_per_image(images, np.array([np.inf, *thresholds, -np.inf]))
    num_images = {0: int((labels == 0).sum()), 1: int((labels == 1).sum())}
    unseen = counts.with_unseen(labels, num_images)
    np.testing.assert_array_equal(unseen.coverage[:8], counts.coverage)
    for name in ("num_negatives", "num_positives", "num_regions"):
        whole, added = getattr(counts, name), getattr(unseen, name)[8:]
        means = [whole[labels == label].mean() for label in (0, 0, 1, 1)]
        np.testing.assert_allclose(added, means, err_msg=name)
    rest = np.zeros((2, 12))
    rest[:, :8] = labels == 0  # beside all normal images
    rest[0, 10] = rest[1, 11] = 1
    missed, found = OF_RANKING["auroc"].values(unseen.summed(rest))
    assert 0.35 < missed < 0.65  # like the normal pixels of all images
    assert found == pytest.approx(1.0, abs=1e-12)


def test_a_resample_without_a_class_has_no_value() -> None:
    counts = count_scores(np.array([0.1, 0.9, 0.5]), np.array([0, 1, 1]), np.array([0.9, 0.5]))
    rows = counts.summed(np.array([[1.0, 1, 1], [0, 1, 1], [1, 0, 0]]))
    for metric in OF_RANKING.values():
        assert np.isnan(metric.values(rows)).tolist() == [False, True, True]
    for metric in LIMITED.values():
        assert np.isnan(metric.values(rows, limit=0.3)).tolist() == [False, True, True]
