import numpy as np
import pytest
from helpers.literal_metrics import SCORE_STYLES, random_test_set

from cfa_lab.errors import UserError
from cfa_lab.metrics import AnomalyMetrics
from cfa_lab.metrics.collected import CollectedScores


@pytest.mark.parametrize("style", SCORE_STYLES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spill_bytes", [None, 0, 1000])
def test_images_one_at_a_time_give_the_results_of_the_torchmetrics_class(style, dtype, spill_bytes):
    rng = np.random.default_rng(0)
    for _ in range(5):
        maps, masks = random_test_set(rng, style, dtype=dtype)
        masks = [None if i == 1 else mask for i, mask in enumerate(masks)]  # one is unknown
        labels = [1 if mask is None else int(mask.any()) for mask in masks]
        scores = [float(score_map.max()) for score_map in maps]
        names = [str(i) for i in range(len(labels))]
        collected = CollectedScores((0.3, 0.05), spill_bytes=spill_bytes)
        for i in range(len(labels)):
            collected.add(
                [maps[i]],
                [masks[i]],
                labels=[labels[i]],
                scores=[scores[i]],
                names=[names[i]],
            )
        metrics = AnomalyMetrics()
        metrics.update(maps, masks, labels=labels, scores=scores)
        found = collected.scored_set()
        np.testing.assert_equal(found.values(), {k: float(v) for k, v in metrics.compute().items()})
        np.testing.assert_equal(found.oracle(), metrics.oracle())
        assert found.undefined() == metrics.undefined()
        np.testing.assert_equal(
            found.intervals(num_resamples=5), metrics.intervals(num_resamples=5)
        )
        assert collected.num_bytes == metrics.memory_bytes


def test_nothing_collected_and_refused_images():
    collected = CollectedScores((0.3,))
    assert set(collected.scored_set().undefined().values()) == {"no images were given"}
    with pytest.raises(UserError, match=r"here\.png"):
        wrong = np.full((1, 2, 2), np.nan)
        collected.add(wrong, None, labels=[0], scores=[0.0], names=["here.png"])
    assert collected.num_bytes == 0
    with pytest.raises(UserError, match="aupro_limits is 2"):
        CollectedScores((2,))
