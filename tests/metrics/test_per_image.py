import numpy as np
import pytest
from helpers.literal_metrics import SCORE_STYLES, literal_aupimo

from cfa_lab.errors import UserError
from cfa_lab.metrics.per_image import aupimo


@pytest.mark.parametrize("style", SCORE_STYLES)
def test_aupimo_equals_the_literal_version(style: str) -> None:
    rng = np.random.default_rng(0)
    for fpr_range in ((0.01, 0.2), (0.001, 0.01), (0.3, 1.0)):
        sizes = rng.integers(1, 40, size=4)  # images of different sizes count the same
        normals = [SCORE_STYLES[style](rng, (1, size)).ravel() for size in sizes]
        defects = [SCORE_STYLES[style](rng, (1, 7)).ravel() + lift for lift in (0.0, 1.0)]
        expected = [literal_aupimo(normals, positives, *fpr_range) for positives in defects]
        values = aupimo(normals, defects, fpr_range=fpr_range)
        np.testing.assert_allclose(values, expected, atol=1e-12)


def test_a_defect_above_all_normal_pixels_scores_one_and_below_zero() -> None:
    normals = [np.linspace(0, 1, 10_000)] * 20
    values = aupimo(normals, [np.full(5, 2.0), np.full(5, -1.0), np.array([2.0, -1.0])])
    np.testing.assert_allclose(values, [1.0, 0.0, 0.5])


def test_without_normal_images_or_defect_pixels_there_is_no_value() -> None:
    assert np.isnan(aupimo([], [np.ones(3)])).all()
    values = aupimo([np.zeros(4)], [np.zeros(0), np.ones(1)])
    assert np.isnan(values[0]) and values[1] == 1.0


@pytest.mark.parametrize("fpr_range", [(0.0, 0.1), (0.2, 0.1), (0.1, 1.5)])
def test_ranges_without_a_logarithm_are_refused(fpr_range: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="AUPIMO range"):
        aupimo([np.zeros(4)], [np.ones(1)], fpr_range=fpr_range)
