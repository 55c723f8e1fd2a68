"""Intervals over images: against formulas written out, at degenerate sizes, and how they hold."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from cfa_lab.bench.metric_contestants import synthetic_maps
from cfa_lab.bench.populations import ScorePopulation
from cfa_lab.metrics.anomaly import AnomalyMetrics
from cfa_lab.metrics.families import OF_RANKING
from cfa_lab.metrics.intervals import UNSEEN, Interval, image_intervals
from cfa_lab.metrics.jackknife import Influence, LeftOut, leave_out
from cfa_lab.metrics.ranking import rank
from cfa_lab.metrics.rankings import aurocs
from cfa_lab.metrics.resampling import count_scores
from cfa_lab.metrics.weights import drawn_changes, drawn_times


def image_metrics(
    normal: Sequence[float], defect: Sequence[float], *, num_resamples: int = 1000
) -> dict[str, Interval]:
    scores = np.array([*normal, *defect], dtype=float)
    labels = np.repeat([0, 1], [len(normal), len(defect)])
    ranking = rank([scores[labels == 0]], scores[labels == 1])
    return image_intervals(ranking, labels, scores, num_resamples=num_resamples)


def metrics_of(num_images: int) -> AnomalyMetrics:
    metrics = AnomalyMetrics()
    metrics.update(*synthetic_maps(32, num_images, seed=4))
    return metrics


def test_what_images_add_to_auroc_are_their_placements() -> None:
    """DeLong et al. (1988); those of wholly missed images are one half, of wholly found ones 1."""
    rng = np.random.default_rng(0)
    normal, defect = rng.normal(size=13).round(1), rng.normal(1, size=21).round(1)
    order = (defect[:, None] > normal) + 0.5 * (defect[:, None] == normal)  # (21, 13)
    labels, scores = np.repeat([0, 1], [13, 21]), np.concatenate((normal, defect))
    left_out = leave_out(labels, np.ones(34, dtype=bool))
    assert not isinstance(left_out, str)
    thresholds = [np.inf, *rank([normal], defect).thresholds, -np.inf]
    counts = count_scores(scores, labels, np.array(thresholds)).with_unseen(
        labels, left_out.num_images
    )
    found = left_out.influences(aurocs(counts.summed(left_out.times())))
    for label, placements in ((0, order.mean(0)), (1, order.mean(1))):
        centred = placements - order.mean()
        np.testing.assert_allclose(found[label].groups, centred, atol=1e-12)
        unseen = np.array([0.5, 1.0]) - order.mean()
        np.testing.assert_allclose(found[label].unseen, unseen, atol=1e-12)
        assert found[label].bias == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("num", [5, 20])
def test_weights_make_a_mean_vary_like_its_unbiased_variance(num: int) -> None:
    values = np.random.default_rng(1).normal(size=num)
    labels = np.ones(2 * num, dtype=int)
    labels[:num] = 0
    times = drawn_times(labels, (0.0, 0.0), num=40_000, seed=2)
    np.testing.assert_allclose(times[:, num : 2 * num].sum(axis=1), num)
    means = times[:, num : 2 * num] @ values / num
    assert means.mean() == pytest.approx(values.mean(), abs=0.02)
    assert means.var() == pytest.approx(values.var(ddof=1) / num, rel=0.04)


@pytest.mark.parametrize("num_found", [20, 19, 12, 0])
def test_the_share_of_found_images_has_jeffreys_interval(num_found: int) -> None:
    share = num_found / 20
    found = np.where(np.arange(20) < num_found, 1 - share, -share)
    groups = {0: [], 1: [np.array([i]) for i in range(20)]}
    left_out = LeftOut(groups, {0: 0, 1: 20}, 20)
    influence = {1: Influence(found, np.array([-share, 1 - share]), 0.0)}
    (changes,) = drawn_changes([influence], left_out, (0.0, 0.5), num=40_000, seed=3)
    quantiles = np.quantile(share + changes, [0.025, 0.975])
    expected = stats.beta.ppf([0.025, 0.975], num_found + 0.5, 20 - num_found + 0.5)
    np.testing.assert_allclose(quantiles, expected, atol=4e-3)


@pytest.mark.parametrize(("num_normal", "num_defect"), [(5, 5), (20, 63), (2, 40)])
def test_separated_images_allow_for_those_that_they_do_not_show(
    num_normal: int, num_defect: int
) -> None:
    """Written out: a share of the defects is missed, a share of the normal images false alarms."""
    normal, defect = list(range(num_normal)), list(range(100, 100 + num_defect))
    found = image_metrics(normal, defect, num_resamples=10_000)
    rng = np.random.default_rng(4)

    def shares(num_images: int, half: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the images, the missed and the clear unseen one, in every draw."""
        evenness = max(num_images - 2, 1) / num_images
        seen = rng.standard_gamma(evenness, (10_000, num_images))
        missed, clear = rng.standard_gamma(half, (2, 10_000))
        total = seen.sum(axis=1) + missed + clear
        return seen / total[:, None], missed / total, clear / total

    _, alarming, _ = shares(num_normal, UNSEEN["image_auroc"][0])
    seen, missed, _ = shares(num_defect, UNSEEN["image_auroc"][1])
    beaten = seen @ ((np.arange(num_defect) + 0.5) / num_defect)  # by false alarms among them
    lost = missed * ((1 - alarming) / 2 + alarming) + alarming * beaten
    low = float(np.quantile(1 - lost, 0.025))
    assert found["image_auroc"].low == pytest.approx(low, abs=0.06 * (1 - low))
    assert found["image_auroc"].high == 1.0
    for name in ("image_ap", "image_f1max"):
        assert found[name].high == 1.0 and 0.3 < found[name].low < 0.999, name
    reverse = image_metrics(defect, normal[:num_normal] + normal[:1])["image_auroc"]
    assert reverse.low == 0.0 < reverse.high < 0.9


def test_one_missed_image_among_many_leaves_room_for_more() -> None:
    """Of 60: Jeffreys' interval of its share ends near 7.5 percent, half of which AUROC loses."""
    found = image_metrics(list(range(60)), [*range(100, 159), 30])["image_auroc"]
    assert 0.93 < found.low < 1 - 0.5 * stats.beta.ppf(0.975, 1.5, 59.5)


def test_one_image_of_a_class_gives_no_interval_and_the_reason() -> None:
    for normal, defect, word in (([0.1], [0.2, 0.9], "normal"), ([0.1, 0.3], [0.2], "defect")):
        for interval in image_metrics(normal, defect).values():
            assert np.isnan(interval.low) and interval.why.startswith(f"one {word} image")
    labels = np.array([0, 0, 1, 1])
    assert "one defect image" in str(leave_out(labels, np.array([True, True, True, False])))


def test_pixel_metrics_of_one_image_with_a_mask_have_none() -> None:
    maps = np.random.default_rng(2).random((4, 6, 6))
    mask = np.zeros((6, 6))
    mask[2:4, 2:4] = 1
    metrics = AnomalyMetrics()
    metrics.update(maps, [0 * mask, 0 * mask, mask, None], labels=[0, 0, 1, 1])
    found = metrics.intervals()
    assert found["image_auroc"].why == ""
    assert found["pixel_ap"].why.startswith("one defect image")
    blank = AnomalyMetrics()  # the other defect image has a mask, and nothing is to be seen in it
    blank.update(maps, [0 * mask, 0 * mask, mask, 0 * mask], labels=[0, 0, 1, 1])
    assert blank.intervals()["aupro_30"].why.startswith("one image holds all defects")


def test_pixels_all_on_their_side_leave_room_below() -> None:
    masks = np.zeros((6, 4, 4))
    masks[3:, 1] = 1
    metrics = AnomalyMetrics()
    metrics.update(masks + np.linspace(0, 0.5, 6)[:, None, None], masks)
    found = metrics.intervals()
    for name, interval in found.items():
        assert 0 < interval.low < interval.high == 1 and not interval.why, name


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
        assert 0 < widths[120][name] < 0.75 * widths[12][name], name


def test_groups_of_images_left_out_together_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = metrics_of(240)
    single = metrics.intervals()
    monkeypatch.setattr("cfa_lab.metrics.jackknife.MOST_GROUPS", 40)
    grouped = metrics.intervals()
    for name, interval in single.items():
        width = interval.high - interval.low
        assert grouped[name].low == pytest.approx(interval.low, abs=0.25 * width), name
        assert grouped[name].high == pytest.approx(interval.high, abs=0.25 * width), name


def test_intervals_depend_on_the_seed_alone() -> None:
    metrics = metrics_of(12)
    first = metrics.intervals(num_resamples=30, seed=5)
    assert metrics.intervals(num_resamples=30, seed=5) == first
    assert metrics.intervals(num_resamples=30, seed=6) != first


def test_higher_confidence_gives_wider_intervals() -> None:
    metrics = metrics_of(12)
    narrow, wide = metrics.intervals(confidence=0.5), metrics.intervals(confidence=0.99)
    for name in ("image_auroc", "image_ap", "pixel_ap"):
        assert wide[name].low < narrow[name].low <= narrow[name].high < wide[name].high, name


def test_undefined_metrics_have_no_interval() -> None:
    metrics = AnomalyMetrics()
    metrics.update(np.zeros((4, 3, 3)), None, labels=[0, 0, 1, 1], scores=[0.1, 0.15, 0.2, 0.3])
    intervals = metrics.intervals(num_resamples=10)
    assert 0 < intervals["image_auroc"].low < intervals["image_auroc"].high == 1.0
    assert np.isnan([intervals["pixel_ap"].low, intervals["aupro_30"].high]).all()
    for num_images in (2, 0):
        metrics = AnomalyMetrics()
        metrics.update(np.zeros((num_images, 3, 3)), np.zeros((num_images, 3, 3)))
        assert all(np.isnan(i.low) for i in metrics.intervals(num_resamples=10).values())


@pytest.mark.parametrize("size", [(5, 5), (20, 20)])
@pytest.mark.parametrize("auroc", [0.7, 0.97])
def test_they_hold_about_as_often_as_they_say(size: tuple[int, int], auroc: float) -> None:
    """`bench intervals` measures this for every metric, with more sets."""
    population, generator = ScorePopulation("even", auroc), np.random.default_rng(3)
    scores, labels = population.draw(generator, 12_000, 12_000)
    ranking = rank([scores[labels == 0]], scores[labels == 1])
    true = {"image_auroc": auroc, "image_ap": OF_RANKING["ap"].value(ranking)}
    held = dict.fromkeys(true, 0)
    for _ in range(120):
        scores, labels = population.draw(generator, *size)
        ranking = rank([scores[labels == 0]], scores[labels == 1])
        found = image_intervals(ranking, labels, scores, num_resamples=300)
        for name in true:
            held[name] += found[name].low <= true[name] <= found[name].high
    assert min(held.values()) >= 109, held
