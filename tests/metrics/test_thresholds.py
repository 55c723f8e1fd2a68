from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cfa_lab.errors import UserError
from cfa_lab.metrics.thresholds import (
    carried_quantile,
    extreme_value_threshold,
    fit_threshold,
    images_needed,
    mean_sd_threshold,
    quantile_threshold,
    too_few_images,
)
from cfa_lab.vocabulary import THRESHOLD_RULES


def test_quantile_lies_between_the_scores_around_it() -> None:
    assert quantile_threshold(np.arange(101.0), quantile=0.95) == pytest.approx(95.0)


def test_mean_sd_is_the_plain_formula() -> None:
    assert mean_sd_threshold(np.array([1.0, 3.0]), num_sd=3.0) == pytest.approx(2.0 + 3.0)


LAWS = {
    "exponential": stats.expon(),
    "normal": stats.norm(),
    "gamma": stats.gamma(2.0),
    "heavy tail": stats.genpareto(0.3),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize(("size", "within"), [(50, 6.0), (1000, 2.0)])
def test_extreme_value_fit_sees_beyond_the_sample(law: Any, size: int, within: float) -> None:
    """To be exceeded by 1 score in 1000, averaged over 20 samples that mostly hold no such one."""
    fitted, plain = [], []
    for seed in range(20):
        scores = law.rvs(size, random_state=np.random.default_rng(seed))
        fitted.append(law.sf(extreme_value_threshold(scores, quantile=0.999)))
        plain.append(law.sf(quantile_threshold(scores, quantile=0.999)))
    assert 1e-3 / within < np.mean(fitted) < 1e-3 * within
    assert np.mean(fitted) < np.mean(plain)


def test_extreme_value_threshold_grows_with_the_quantile() -> None:
    scores = np.random.default_rng(1).gamma(2.0, size=300)
    quantiles = [0.5, 0.8, 0.93, 0.95, 0.99, 0.999, 0.9999]
    thresholds = [extreme_value_threshold(scores, quantile=q) for q in quantiles]
    assert thresholds == sorted(thresholds)


@pytest.mark.parametrize("scores", [[0.7], [0.7, 0.7], [0.1, 0.2], [1.0, 2.0, 3.0], [5.0] * 40])
@pytest.mark.parametrize("rule", THRESHOLD_RULES)
def test_few_or_equal_scores_give_a_finite_threshold(scores: list[float], rule: str) -> None:
    threshold = fit_threshold(np.array(scores), rule)
    assert np.isfinite(threshold)
    assert threshold >= np.median(scores)


def test_tail_of_few_values_is_exponential() -> None:
    """Three scores: the tail is the one above the median; 1 in 3 lies there, mean excess 1."""
    threshold = extreme_value_threshold(np.array([1.0, 2.0, 3.0]), quantile=0.99)
    assert threshold == pytest.approx(2.0 + np.log((1 / 3) / 0.01))


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 300),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-10, 10),
    rule=st.sampled_from(THRESHOLD_RULES),
)
def test_thresholds_move_with_the_scores(
    seed: int, size: int, scale: float, shift: float, rule: str
) -> None:
    scores = np.random.default_rng(seed).gamma(2.0, size=size)
    threshold = fit_threshold(scores, rule)
    moved = fit_threshold(scale * scores + shift, rule)
    assert (moved - shift) / scale == pytest.approx(threshold, rel=1e-2, abs=1e-6)


def test_many_scores_are_thinned_without_moving_the_threshold() -> None:
    scores = np.random.default_rng(2).exponential(size=400_000)
    threshold = extreme_value_threshold(scores, quantile=0.9999)
    assert threshold == pytest.approx(-np.log(1e-4), rel=0.05)


@pytest.mark.parametrize("scores", [[], [1.0, np.nan], [np.inf]])
def test_scores_that_carry_no_threshold_are_refused(scores: list[float]) -> None:
    with pytest.raises(UserError, match="finite scores of normal images"):
        fit_threshold(np.array(scores))


def test_unknown_rules_and_impossible_quantiles_are_refused() -> None:
    with pytest.raises(UserError, match="quantile, mean_sd, extreme_value"):
        fit_threshold(np.ones(3), "median")
    with pytest.raises(UserError, match=r"quantile is 1\.0; allowed: between 0 and 1"):
        fit_threshold(np.ones(3), quantile=1.0)


@pytest.mark.parametrize(("quantile", "needed"), [(0.5, 2), (0.9, 10), (0.995, 200), (0.999, 1000)])
def test_how_many_images_carry_a_quantile(quantile, needed):
    assert images_needed(quantile) == needed
    few = too_few_images(needed - 1, "quantile", quantile)
    assert few is not None
    assert f"about 1 in {needed} will lie above" in few
    assert f"1 in {needed} lies" in few
    assert needed - 1 < 2 or images_needed(carried_quantile(needed - 1)) <= needed - 1
    assert too_few_images(needed, "extreme_value", quantile) is None
    assert too_few_images(2, "mean_sd", quantile) is None
