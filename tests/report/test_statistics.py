"""Means, intervals and tests against literal versions and known answers."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cfa_lab.bench.verdicts import WORLDS, simulated
from cfa_lab.report.significance import holm
from cfa_lab.report.statistics import (
    best_setting,
    compare,
    compare_all,
    summarise_cell,
    summarise_macro,
)


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


def test_the_macro_interval_is_students_t_over_categories():
    rng = np.random.default_rng(3)
    cells = {f"c{c}": dict(enumerate(rng.normal(0.7, 0.05, 4))) for c in range(6)}
    means = [float(np.mean(list(seeds.values()))) for seeds in cells.values()]
    found = summarise_macro(cells)
    assert found is not None
    low, high = stats.t.interval(0.95, 5, np.mean(means), stats.sem(means))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    alone = summarise_macro({"a": {0: 0.90, 1: 0.92, 2: 0.97}})
    assert alone is not None
    low, _ = stats.t.interval(0.95, 2, alone.mean, stats.sem([0.90, 0.92, 0.97]))
    assert (alone.low, alone.num_categories) == (pytest.approx(low), 1)


def test_a_difference_has_the_paired_t_test_of_its_categories():
    cells = grid(0.80, 0.803)
    differences = [
        np.mean([cells["b"][c][s] - cells["a"][c][s] for s in range(3)]) for c in cells["a"]
    ]
    expected: Any = stats.ttest_1samp(differences, 0)
    found = compare(cells, "b", "a")
    assert found is not None
    low, high = expected.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.p == pytest.approx(expected.pvalue)


def test_one_category_without_shared_seeds_has_welchs_test():
    one, other = [0.91, 0.93, 0.92, 0.95], [0.90, 0.85, 0.88]
    cells = {
        "a": {"c": dict(enumerate(one))},
        "b": {"c": {s + 10: v for s, v in enumerate(other)}},
    }
    expected: Any = stats.ttest_ind(one, other, equal_var=False)
    found = compare(cells, "a", "b")
    assert found is not None and found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_paired_seeds_cancel_what_they_share():
    cells = grid(0.8, 0.8)
    for category, seeds in cells["b"].items():
        for seed in seeds:
            seeds[seed] = cells["a"][category][seed] + 0.01
    found = compare(cells, "b", "a")
    assert found is not None
    assert (found.mean, found.low, found.high) == (pytest.approx(0.01),) * 3
    assert (found.num_categories, found.num_pairs, found.num_cases) == (8, 24, 8)
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
    assert one is not None and one.verdict == "better" and one.num_cases == 6


@pytest.mark.parametrize("num_settings", [2, 6, 20])
@pytest.mark.parametrize("world", WORLDS)
def test_equal_settings_are_seldom_told_apart(num_settings: int, world: str):
    """Whatever their number, of 120 studies about one in twenty may have any verdict."""
    generator = np.random.default_rng([5, num_settings])
    wrong = 0
    for _ in range(120):
        cells = simulated(generator, world, num_settings, 6, 3)
        found = [d.verdict for d in compare_all(cells, "0")]
        assert len(found) == {2: 1, 6: 15, 20: 19}[num_settings]
        wrong += any(verdict != "inconclusive" for verdict in found) or bool(best_setting(cells))
    assert wrong <= 13


def test_intervals_leave_zero_out_just_where_holm_rejects():
    rng = np.random.default_rng(8)
    seen = set()
    for _ in range(40):
        cells = grid(0.8, *(0.8 + rng.normal(0, 0.004, 4)), seed=int(rng.integers(1000)))
        for d in compare_all(cells, "a"):
            assert d.num_comparisons == 10
            assert (d.low > 0 or d.high < 0) == (d.p_holm <= 0.05)
            assert (d.verdict != "inconclusive") == (d.p_holm <= 0.05)
            seen.add(d.verdict)
    assert seen == {"better", "worse", "inconclusive"}


def test_comparisons_without_enough_cases_take_no_part():
    cells = grid(0.8, 0.81, 0.9)
    cells["c"] = dict(list(cells["c"].items())[:5])
    found = {(d.a, d.b): d for d in compare_all(cells, "a")}
    assert found["b", "a"].num_comparisons == 1
    assert found["c", "a"].verdict == "inconclusive" and math.isnan(found["c", "a"].p_holm)


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
