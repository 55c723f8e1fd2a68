import numpy as np
import pytest
from helpers.literal_metrics import SCORE_STYLES, sklearn_values

from cfa_lab.metrics import ranking as ranks
from cfa_lab.metrics.ranking import Ranking, area_under, rank, rank_at


def ranked(truth: np.ndarray, scores: np.ndarray) -> Ranking:
    return rank([scores[truth == 0]], scores[truth == 1])


def values_of(ranking: Ranking) -> dict[str, float]:
    return {
        "auroc": ranks.auroc(ranking),
        "ap": ranks.average_precision(ranking),
        "f1max": ranks.f1max(ranking).value,
    }


@pytest.mark.parametrize("style", SCORE_STYLES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranking_metrics_equal_sklearn(style: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        scores = SCORE_STYLES[style](rng, (1, int(rng.integers(2, 200)))).ravel().astype(dtype)
        truth = (rng.random(scores.size) < rng.choice([0.05, 0.5, 0.95])).astype(int)
        truth[:2] = [0, 1]
        expected = sklearn_values(truth, scores)
        assert values_of(ranked(truth, scores)) == pytest.approx(expected, abs=1e-12)


def literal_values(negatives: np.ndarray, positives: np.ndarray) -> list[float]:
    """AUROC pair by pair; AP, F1max and the best IoU threshold by threshold."""
    difference = positives[:, None] - negatives[None, :]
    auroc = np.mean((difference > 0) + 0.5 * (difference == 0))
    ap, before, f1, iou = 0.0, 0, [], []
    for threshold in np.unique(positives)[::-1]:
        hits, alarms = np.sum(positives >= threshold), np.sum(negatives >= threshold)
        ap += (hits - before) / positives.size * hits / (hits + alarms)
        f1.append(2 * hits / (hits + alarms + positives.size))
        iou.append(hits / (alarms + positives.size))
        before = hits
    return [auroc, ap, max(f1), max(iou)]


@pytest.mark.parametrize("style", SCORE_STYLES)
def test_a_thousand_small_cases_equal_the_literal_metrics(style: str) -> None:
    rng = np.random.default_rng(4)
    for _ in range(1000):
        scores = SCORE_STYLES[style](rng, (1, int(rng.integers(2, 15)))).ravel()
        split = int(rng.integers(1, scores.size))
        ranking = rank([scores[:split]], scores[split:])
        values = [*values_of(ranking).values(), ranks.iou_max(ranking).value]
        expected = literal_values(scores[:split], scores[split:])
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)


def test_counts_do_not_depend_on_how_negatives_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    negatives, positives = rng.integers(0, 30, 500) / 7, rng.integers(5, 40, 60) / 7
    whole = rank([negatives], positives)
    monkeypatch.setattr(ranks, "BLOCK_VALUES", 37)
    for pieces in ([negatives], np.split(negatives, [0, 3, 3, 200, 411])):
        cut = rank(pieces, positives)
        np.testing.assert_array_equal(cut.false_positives, whole.false_positives)
        assert cut.num_negatives == 500


def test_counts_are_right_at_every_threshold() -> None:
    negatives, positives = np.array([0.0, 1.0, 1.0, 2.0, 5.0]), np.array([1.0, 2.0, 2.0, 3.0])
    ranking = rank([negatives], positives, weights=np.array([0.5, 1.0, 2.0, 4.0]), num_regions=3)
    np.testing.assert_array_equal(ranking.thresholds, [3.0, 2.0, 1.0])
    np.testing.assert_array_equal(ranking.false_positives, [1, 1, 1, 2, 2, 4])
    np.testing.assert_array_equal(ranking.true_positives, [0, 1, 1, 3, 3, 4])
    np.testing.assert_array_equal(ranking.coverage, [0, 4, 4, 7, 7, 7.5])


def test_rank_at_all_thresholds_is_rank() -> None:
    rng = np.random.default_rng(2)
    negatives, positives = rng.integers(0, 9, 80) / 3, rng.integers(2, 12, 30) / 3
    weights = rng.random(30)
    exact = rank([negatives], positives, weights=weights, num_regions=5)
    again = rank_at(exact.thresholds, [negatives], positives, weights=weights, num_regions=5)
    np.testing.assert_array_equal(again.false_positives, exact.false_positives)
    np.testing.assert_array_equal(again.true_positives, exact.true_positives)
    np.testing.assert_allclose(again.coverage, exact.coverage, atol=1e-14)


def test_average_precision_between_thresholds_is_that_of_an_even_mixture() -> None:
    """Among every 4 scores 3 are negatives; 51 thresholds for 4000 positives give the same AP."""
    scores = np.arange(16_000.0)
    is_positive = scores % 4 == 2
    negatives, positives = scores[~is_positive], scores[is_positive]
    exact = rank([negatives], positives)
    thresholds = np.append(exact.thresholds[::80], exact.thresholds[-1])
    few = rank_at(thresholds, [negatives], positives, weights=np.ones(4000), num_regions=1)
    assert ranks.average_precision(few) == pytest.approx(ranks.average_precision(exact), abs=1e-3)


def test_negatives_are_left_as_they_were() -> None:
    negatives = np.array([3.0, 1.0, 2.0], dtype=np.float32)
    rank([negatives], np.array([0.5, 2.0], dtype=np.float32))
    np.testing.assert_array_equal(negatives, [3.0, 1.0, 2.0])


def test_best_thresholds_are_the_highest_that_reach_the_best_value() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        scores = rng.integers(0, 6, 12).astype(np.float32)
        truth = np.append([0, 1], rng.integers(0, 2, 10))
        ranking = ranked(truth, scores)
        by_threshold = {}
        for threshold in np.unique(scores):
            hits = int(np.sum((scores >= threshold) & (truth == 1)))
            found = int(np.sum(scores >= threshold))
            by_threshold[threshold] = (
                2 * hits / (found + truth.sum()),
                hits / (found + truth.sum() - hits),
            )
        for position, best in enumerate((ranks.f1max(ranking), ranks.iou_max(ranking))):
            highest = max(pair[position] for pair in by_threshold.values())
            reach = [t for t, pair in by_threshold.items() if pair[position] >= highest - 1e-12]
            assert best.value == pytest.approx(highest, abs=1e-12)
            assert best.threshold == max(reach)


def test_auroc_is_exact_where_float32_sums_would_not_be() -> None:
    """2^25 pairs of which one is out of order."""
    negatives = np.arange(2**13, dtype=np.float64)
    positives = np.append(np.arange(2**12 - 1) + 2.0**13, 2.0**13 - 1.5)
    assert ranks.auroc(rank([negatives], positives)) == 1 - 1 / 2**25


def test_area_is_cut_at_the_limit() -> None:
    x, y = np.array([0.0, 0.0, 0.5, 1.0]), np.array([0.0, 0.2, 0.4, 1.0])
    assert area_under(x, y, limit=0.25) == pytest.approx(0.25 * 0.25)
    assert area_under(x, y, limit=0.5) == pytest.approx(0.15)
    assert area_under(x, y, limit=1.0) == pytest.approx(0.15 + 0.35)
