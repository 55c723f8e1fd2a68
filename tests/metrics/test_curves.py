import numpy as np
import pytest

from cfa_lab.metrics import ranking as ranks
from cfa_lab.metrics.curves import MAX_POINTS, pr_curve, pro_curve, roc_curve
from cfa_lab.metrics.ranking import Ranking, area_under, rank
from cfa_lab.metrics.regions import aupro


def ranking_of(num_positives: int) -> Ranking:
    rng = np.random.default_rng(0)
    return rank(
        [rng.normal(size=20 * num_positives)],
        rng.normal(size=num_positives) + 2,
        weights=np.full(num_positives, 4 / num_positives),
        num_regions=4,
    )


@pytest.mark.parametrize("num_positives", [1, 5, 20_000])
def test_thinned_curves_keep_their_ends_and_their_area(num_positives: int) -> None:
    ranking = ranking_of(num_positives)
    for curve, area in (
        (roc_curve(ranking), ranks.auroc(ranking)),
        (pro_curve(ranking), aupro(ranking, limit=1.0)),
    ):
        x, y = curve
        assert x.size == y.size <= MAX_POINTS
        assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
        assert (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all()
        assert area_under(x, y, limit=1.0) == pytest.approx(area, abs=1e-3)


@pytest.mark.parametrize("num_positives", [1, 5, 20_000])
def test_steps_of_the_pr_curve_hold_the_average_precision(num_positives: int) -> None:
    ranking = ranking_of(num_positives)
    recall, precision = pr_curve(ranking)
    assert recall.size <= MAX_POINTS
    assert (recall[0], recall[-1]) == (0.0, 1.0)
    steps = np.sum(np.diff(recall) * precision[1:])
    assert steps == pytest.approx(ranks.average_precision(ranking), abs=2e-3)


def test_undefined_curves_are_empty() -> None:
    for curve in (roc_curve(None), pr_curve(None), pro_curve(None)):
        assert curve[0].size == curve[1].size == 0
