import numpy as np
import pytest

from cfa_lab.metrics.decisions import decide


def test_rates_are_the_plain_counts() -> None:
    decisions = decide(
        [np.array([0.1, 0.5]), np.array([0.9])], [np.array([0.2, 0.5, 0.8])], threshold=0.5
    )
    assert (decisions.true_positives, decisions.false_positives) == (2, 2)
    assert decisions.f1 == pytest.approx(4 / 7)
    assert decisions.false_positive_rate == pytest.approx(2 / 3)
    assert decisions.miss_rate == pytest.approx(1 / 3)


def test_empty_classes_have_no_rate() -> None:
    decisions = decide([], [], threshold=0.0)
    assert np.isnan([decisions.f1, decisions.false_positive_rate, decisions.miss_rate]).all()


@pytest.mark.parametrize("threshold", [0.1, -0.1, 1e300, -1e300, float(np.float32(0.1))])
def test_float32_scores_meet_the_threshold_unrounded(threshold: float) -> None:
    """float32(0.1) is above 0.1, and rounding the threshold would not tell the two apart."""
    near = np.float32(0.1)
    scores = np.array([np.nextafter(near, np.float32(0)), near, -near], dtype=np.float32)
    expected = int(np.sum(scores.astype(np.float64) >= threshold))
    assert decide([], [scores], threshold=threshold).true_positives == expected
