import numpy as np

from cfa_lab.deploy.view.tally import Tally, TestScores, tally_pixels
from cfa_lab.records.predictions import read_predictions


def test_at_the_runs_threshold_the_counts_are_those_of_its_decisions(viewer, tiny_run):
    rows = read_predictions(tiny_run)
    expected = [
        sum((row["decision"], row["label"]) == pair for row in rows)
        for pair in ((1, 1), (1, 0), (0, 1), (0, 0))
    ]
    found = viewer.scores.at(viewer.description.thresholds.image)
    assert found == Tally(*expected) and sum(expected) == len(rows) == len(viewer.scores)


def test_a_score_equal_to_the_threshold_is_a_defect():
    scores = TestScores(
        [{"label": 1, "score": 1.0}, {"label": 0, "score": 1.0}, {"label": 0, "score": 0.5}]
    )
    assert scores.at(1.0) == Tally(1, 1, 0, 1)
    assert scores.at(np.nextafter(1.0, 2)) == Tally(0, 0, 1, 2)
    assert scores.extent == (0.5, 1.0)


def test_nothing_to_count_is_no_error():
    scores = TestScores([])
    assert len(scores) == 0 and scores.extent is None
    assert scores.at(1.0) == Tally(0, 0, 0, 0)


def test_pixels_outside_the_window_do_not_count():
    heat = np.array([[np.nan, 1.0, 2.0], [3.0, 0.0, 5.0]], dtype=np.float32)
    mask = np.array([[True, True, False], [True, True, False]])
    assert tally_pixels(heat, mask, 2.0) == Tally(1, 2, 2, 0)
