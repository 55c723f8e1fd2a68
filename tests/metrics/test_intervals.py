"""Intervals over images: against formulas written out, at degenerate sizes, and how they hold."""

import numpy as np
import pytest
from scipy import optimize, special, stats

from cfa_lab.bench.metric_contestants import synthetic_maps
from cfa_lab.bench.populations import ScorePopulation
from cfa_lab.metrics.anomaly import AnomalyMetrics
from cfa_lab.metrics.intervals import PRIOR_IMAGES, Interval, image_intervals
from cfa_lab.metrics.jackknife import leave_out
from cfa_lab.metrics.ranking import auroc, rank


def image_metrics(normal: list[float], defect: list[float]) -> dict[str, Interval]:
    scores = np.array([*normal, *defect], dtype=float)
    labels = np.repeat([0, 1], [len(normal), len(defect)])
    return image_intervals(rank([scores[labels == 0]], scores[labels == 1]), labels, scores)


def metrics_of(num_images: int) -> AnomalyMetrics:
    metrics = AnomalyMetrics()
    metrics.update(*synthetic_maps(32, num_images, seed=4))
    return metrics


def test_auroc_has_delongs_interval_on_the_logit_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the model's share: placements of every image, as in DeLong et al. (1988).

    Degrees of freedom of each class by its kurtosis (O'Neill 2014), together by Satterthwaite.
    """
    monkeypatch.setitem(PRIOR_IMAGES, "image_auroc", 0.0)
    rng = np.random.default_rng(0)
    normal, defect = rng.normal(size=13).round(1), rng.normal(1, size=21).round(1)
    order = (defect[:, None] > normal) + 0.5 * (defect[:, None] == normal)  # (21, 13)
    value = order.mean()
    variance = order.mean(1).var(ddof=1) / 21 + order.mean(0).var(ddof=1) / 13
    parts, freedoms = [], []
    for placements in (order.mean(1), order.mean(0)):
        count = placements.size
        kurtosis = stats.kurtosis(placements, fisher=False)
        freedoms.append(min(count - 1, 2 * count / (kurtosis - (count - 3) / (count - 1))))
        parts.append(placements.var(ddof=1) / count)
    freedom = variance**2 / sum(p**2 / f for p, f in zip(parts, freedoms, strict=True))
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance) / (value * (1 - value))
    found = image_metrics(normal.tolist(), defect.tolist())["image_auroc"]
    assert found.low == pytest.approx(special.expit(special.logit(value) - half), abs=1e-12)
    assert found.high == pytest.approx(special.expit(special.logit(value) + half), abs=1e-12)


def test_one_missed_image_among_many_widens_the_interval_of_auroc(monkeypatch) -> None:
    """It makes all of the variance: hardly more than two degrees of freedom, hence more than 3."""
    monkeypatch.setitem(PRIOR_IMAGES, "image_auroc", 0.0)
    found = image_metrics(list(range(60)), [*range(100, 159), 30])["image_auroc"]
    value = (59 + 30.5 / 60) / 60
    error = np.std([1.0] * 59 + [30.5 / 60], ddof=1) / 60**0.5 / (value * (1 - value))
    assert 3 < (special.logit(value) - special.logit(found.low)) / error < 4.4


@pytest.mark.parametrize(("num_normal", "num_defect"), [(5, 5), (20, 63), (2, 40)])
def test_separated_images_have_newcombes_lower_bound(num_normal: int, num_defect: int) -> None:
    found = image_metrics(list(range(num_normal)), list(range(100, 100 + num_defect)))
    mean_size = (num_normal + num_defect) / 2

    def beyond(auroc: float) -> float:
        share = (1 - auroc) / (2 - auroc) + auroc / (1 + auroc)
        variance = auroc * (1 - auroc) * (1 + (mean_size - 1) * share) / num_normal / num_defect
        return float((1 - auroc) ** 2 - stats.norm.ppf(0.975) ** 2 * variance)

    low = float(optimize.bisect(beyond, 1e-6, 1 - 1e-9, xtol=1e-13))  # pyright: ignore
    assert found["image_auroc"].low == pytest.approx(low, abs=1e-9)
    assert found["image_auroc"].high == 1.0
    for name in ("image_ap", "image_f1max"):
        assert found[name].high == 1.0 and 0.3 < found[name].low < 0.999, name
    reverse = image_metrics(list(range(100, 100 + num_normal)), list(range(num_defect)))
    assert reverse["image_auroc"].low == 0.0
    assert reverse["image_auroc"].high == pytest.approx(1 - low, abs=1e-9)


def test_the_bound_of_separated_images_agrees_with_drawn_ones() -> None:
    """AP and F1max of many images from two normal distributions of that AUROC."""
    found = image_metrics(list(range(20)), list(range(100, 120)))
    population = ScorePopulation("even", found["image_auroc"].low)
    scores, labels = population.draw(np.random.default_rng(1), 200_000, 200_000)
    from cfa_lab.metrics.ranking import average_precision, f1max

    ranking = rank([scores[labels == 0]], scores[labels == 1])
    assert found["image_auroc"].low == pytest.approx(auroc(ranking), abs=2e-3)
    assert found["image_ap"].low == pytest.approx(average_precision(ranking), abs=2e-3)
    assert found["image_f1max"].low == pytest.approx(f1max(ranking).value, abs=4e-3)


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


def test_pixels_all_on_their_side_have_none() -> None:
    masks = np.zeros((6, 4, 4))
    masks[3:, 1] = 1
    metrics = AnomalyMetrics()
    metrics.update(masks + np.linspace(0, 0.5, 6)[:, None, None], masks)
    found = metrics.intervals()
    assert found["pixel_auroc"].why.startswith("the value is 1")
    assert 0 < found["image_auroc"].low < found["image_auroc"].high == 1


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
    single = metrics.intervals(num_resamples=50)
    monkeypatch.setattr("cfa_lab.metrics.jackknife.MOST_GROUPS", 40)
    grouped = metrics.intervals(num_resamples=50)
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
    held = 0
    for _ in range(200):
        scores, labels = population.draw(generator, *size)
        ranking = rank([scores[labels == 0]], scores[labels == 1])
        found = image_intervals(ranking, labels, scores, num_resamples=1)["image_auroc"]
        held += found.low <= auroc <= found.high
    assert held >= 182
