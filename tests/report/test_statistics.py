"""Means, intervals and tests against literal versions and known answers."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from cfa_lab.report import statistics
from cfa_lab.report.statistics import (
    best_setting,
    compare,
    compare_all,
    holm,
    summarise_cell,
    summarise_macro,
    wilcoxon,
)


@pytest.fixture(autouse=True)
def fresh_draws():
    """Draws of another number of resamples must not be taken for these."""
    statistics._draws.cache_clear()
    yield
    statistics._draws.cache_clear()


def grid(
    *settings: float, categories: int = 8, seeds: int = 3, noise: float = 0.004, seed: int = 0
):
    """Cells of settings named a, b, ... with these means; categories differ far more than seeds."""
    rng = np.random.default_rng(seed)
    levels = rng.normal(0, 0.05, categories)
    return {
        "abcdefghij"[i]: {
            f"c{c}": {s: mean + levels[c] + rng.normal(0, noise) for s in range(seeds)}
            for c in range(categories)
        }
        for i, mean in enumerate(settings)
    }


def test_a_cell_has_the_interval_of_students_t():
    values = [0.90, 0.92, 0.97]
    found = summarise_cell(dict(enumerate(values)))
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.sd == pytest.approx(np.std(values, ddof=1))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(min(1, high)))
    lone = summarise_cell({0: 0.9})
    assert lone.mean == 0.9 and math.isnan(lone.sd) and math.isnan(lone.low)


def test_the_macro_mean_weighs_categories_alike():
    found = summarise_macro({"a": {0: 0.8, 1: 0.9}, "b": {0: 0.5}})
    assert found is not None
    assert found.mean == pytest.approx((0.85 + 0.5) / 2)
    assert (found.num_runs, found.num_categories) == (3, 2)
    assert summarise_macro({}) is None
    single = summarise_macro({"a": {0: 0.8}})
    assert single is not None and math.isnan(single.low)


def test_the_bootstrap_matches_an_exhaustive_one(monkeypatch):
    """All draws of two categories with two and one seeds, each as likely as it is."""
    monkeypatch.setattr(statistics, "_tail", lambda num_cases: 0.2)
    monkeypatch.setattr(statistics, "NUM_RESAMPLES", 40000)
    groups = [np.array([0.0, 1.0]), np.array([5.0])]
    means = []
    for drawn in product(range(2), repeat=2):
        for picks in product(range(2), repeat=4):  # two picks for each drawn category
            parts = [
                np.mean(
                    [
                        groups[c][p % len(groups[c])]
                        for p in picks[2 * i : 2 * i + 2][: len(groups[c])]
                    ]
                )
                for i, c in enumerate(drawn)
            ]
            means.append(np.mean(parts))
    low, high = statistics._interval([(group,) for group in groups])
    assert low == pytest.approx(np.quantile(means, 0.2), abs=0.26)
    assert high == pytest.approx(np.quantile(means, 0.8), abs=0.26)
    assert min(means) <= low < high <= max(means)


def test_the_bootstrap_has_the_variance_of_its_formula(monkeypatch):
    """Variance of a mean over drawn categories: theirs, and that of seeds within, over C."""
    monkeypatch.setattr(statistics, "NUM_RESAMPLES", 40000)
    monkeypatch.setattr(statistics, "_tail", lambda num_cases: stats.norm.cdf(-1))
    rng = np.random.default_rng(3)
    groups = [rng.normal(mean, 0.3, 4) for mean in rng.normal(0, 1, 30)]
    low, high = statistics._interval([(group,) for group in groups])
    means = np.array([group.mean() for group in groups])
    within = np.mean([group.var() / len(group) for group in groups])
    expected = math.sqrt((means.var() + within) / len(groups))
    assert (high - low) / 2 == pytest.approx(expected, rel=0.03)


def test_paired_seeds_cancel_what_they_share():
    cells = grid(0.8, 0.8)
    for category, seeds in cells["b"].items():
        for seed in seeds:
            seeds[seed] = cells["a"][category][seed] + 0.01
    found = compare(cells, "b", "a")
    assert found is not None
    assert (found.mean, found.low, found.high) == (pytest.approx(0.01),) * 3
    assert (found.num_categories, found.num_pairs, found.num_tested) == (8, 24, 8)
    assert found.verdict == "better"
    turned = compare(cells, "a", "b")
    assert turned is not None and turned.verdict == "worse"


def test_settings_without_shared_seeds_are_compared_unpaired():
    cells = grid(0.8, 0.9)
    cells["b"] = {c: {s + 10: v for s, v in seeds.items()} for c, seeds in cells["b"].items()}
    found = compare(cells, "b", "a")
    assert found is not None
    assert found.mean == pytest.approx(0.1, abs=0.01)
    assert found.verdict == "better"
    cells["b"] = {"elsewhere": {0: 1.0}}
    assert compare(cells, "b", "a") is None


def test_few_categories_support_nothing_however_far_apart():
    found = compare(grid(0.5, 0.9, categories=5), "b", "a")
    assert found is not None
    assert found.low > 0.3 and found.verdict == "inconclusive"
    lone = compare(grid(0.5, 0.9, categories=1, seeds=1), "b", "a")
    assert lone is not None and lone.verdict == "inconclusive" and math.isnan(lone.p)
    # one category: its pairs of seeds are the cases
    one = compare(grid(0.5, 0.9, categories=1, seeds=6), "b", "a")
    assert one is not None and one.verdict == "better" and one.num_tested == 6


def test_equal_settings_are_seldom_told_apart():
    """Both settings are drawn from one distribution: about one in twenty may seem to differ."""
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(200):
        cells = {
            name: {f"c{c}": {s: rng.normal(shift, 0.01) for s in range(3)} for c in range(6)}
            for name, shift in (("a", 0), ("b", 0))
        }
        for category in cells["b"]:  # categories like or dislike a setting, both ways
            liking = rng.normal(0, 0.02)
            cells["b"][category] = {s: v + liking for s, v in cells["b"][category].items()}
        found = compare(cells, "a", "b")
        assert found is not None
        wrong += found.verdict != "inconclusive"
    assert wrong <= 20


def test_only_a_supported_best_is_best():
    assert best_setting(grid(0.80, 0.81, 0.90)) == "c"
    assert best_setting(grid(0.80, 0.90, 0.90)) is None
    assert best_setting(grid(0.80)) is None
    assert best_setting({"a": {}, "b": {}}) is None


def test_a_setting_that_lacks_hard_categories_is_not_best():
    cells = grid(0.80, 0.90, 0.95)
    hard = sorted(cells["c"], key=lambda category: cells["c"][category][0])[:1]
    cells["c"] = {c: seeds for c, seeds in cells["c"].items() if c not in hard}
    assert best_setting(cells) is None  # b has all categories, but c beats it where both are
    cells["c"] = {c: {s: v - 0.2 for s, v in seeds.items()} for c, seeds in cells["c"].items()}
    assert best_setting(cells) == "b"


def test_few_settings_are_compared_in_pairs_and_many_with_the_baseline():
    few = compare_all(grid(0.8, 0.81, 0.9), "b")
    assert {(d.a, d.b) for d in few} == {("a", "b"), ("c", "b"), ("c", "a")}
    many = compare_all(grid(*np.linspace(0.7, 0.9, 9)), "d")
    assert {(d.a, d.b) for d in many} == {(other, "d") for other in "abcefghi"}
    assert all(d.p_holm >= d.p for d in many)


def test_wilcoxon_is_exact_and_leaves_out_what_does_not_differ():
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert wilcoxon(values) == pytest.approx(2 / 2**6)
    assert wilcoxon(np.array([*values, 0.0])) == pytest.approx(2 / 2**6)
    assert wilcoxon(np.zeros(4)) == 1
    assert wilcoxon(np.array([0.1, 0.1, 0.1, -0.1])) > 0.1
    assert math.isnan(wilcoxon(np.array([0.3])))


def test_holm_steps_down():
    """The example of Holm's procedure for four p values."""
    found = holm([0.01, 0.04, 0.03, 0.005])
    assert found == pytest.approx([0.03, 0.06, 0.06, 0.02])
    with_gap = holm([0.5, math.nan, 0.9])
    assert with_gap[0] == 1 and math.isnan(with_gap[1]) and with_gap[2] == 1
    assert holm([]) == []


def test_the_same_numbers_give_the_same_bits():
    cells = grid(0.8, 0.82)
    assert compare(cells, "a", "b") == compare(cells, "a", "b")
