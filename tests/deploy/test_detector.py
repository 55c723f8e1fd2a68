from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from cfa_lab import load
from cfa_lab.deploy.detector import TrainedDetector
from cfa_lab.deploy.runtime import Scored
from cfa_lab.deploy.runtime_torch import load_run
from cfa_lab.errors import UserError


@pytest.fixture(scope="module")
def detector(tiny_run) -> TrainedDetector:
    return load(tiny_run)


@pytest.fixture(scope="module")
def paths(tiny_root, run_scores):
    return [tiny_root / path for path in run_scores]


def test_files_arrays_and_pillow_images_of_the_same_picture_score_the_same(detector, paths):
    path = paths[0]
    with Image.open(path) as image:
        grey = np.asarray(image)
        pillow = image.copy()
    colour = np.stack([grey] * 3, axis=-1)
    alike = [path, str(path), grey, colour, grey.astype(np.uint16) * 257, pillow]
    alike += [pillow.convert("RGB"), np.asfortranarray(colour), colour[:, ::1]]
    found = detector.predict(alike)
    assert len(set(found.scores)) == 1
    assert all(np.array_equal(one, found.maps[0]) for one in found.maps)


def test_one_picture_is_a_list_of_one_and_none_is_none(detector, paths):
    one = detector.predict(paths[0])
    assert one.scores.shape == (1,)
    assert one.scores[0] == detector.predict(paths).scores[0]
    none = detector.predict([])
    assert none.scores.shape == (0,) and none.maps == []


def test_a_score_does_not_depend_on_its_company(detector, paths):
    together = detector.predict(paths).scores
    turned = detector.predict(paths[::-1]).scores[::-1]
    assert np.array_equal(together, turned)
    assert np.array_equal(together, detector.predict(iter(paths * 3)).scores[: len(paths)])


def test_decisions_follow_the_threshold(detector, paths):
    found = detector.predict(paths)
    assert np.array_equal(found.decisions, found.scores >= detector.thresholds.image)
    middle = float(np.median(found.scores))
    other = detector.predict(paths, threshold=middle)
    assert np.array_equal(other.decisions, found.scores >= middle)
    assert set(other.decisions) == {0, 1}


def test_score_samples_are_lower_for_the_more_anomalous(detector, paths):
    assert np.array_equal(detector.score_samples(paths), -detector.predict(paths).scores)


def test_many_threads_may_predict_at_once(detector, paths):
    alone = [detector.predict(path) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(detector.predict, paths * 3))
    for one, other in zip(alone * 3, at_once, strict=True):
        assert np.array_equal(one.scores, other.scores)
        assert np.array_equal(one.maps[0], other.maps[0], equal_nan=True)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.full((4, 4, 3), np.nan),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((4, 4), np.int64),
        np.zeros((4, 4), bool),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_that_might_be_meant_otherwise_are_refused(detector, array):
    with pytest.raises(UserError, match=r"an image array is .*; allowed: uint8, uint16 or, with"):
        detector.predict([array])


def test_a_missing_picture_is_named(detector, tmp_path):
    with pytest.raises(UserError, match=r"none\.png"):
        detector.predict(tmp_path / "none.png")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_model_decides_nothing(tiny_run, paths, value):
    runtime = load_run(tiny_run)
    runtime.detector.bank.fill_(value)
    detector = TrainedDetector(runtime)
    with pytest.raises(UserError, match="no finite score"):
        detector.predict(paths[0])


def test_full_maps_are_empty_outside_the_window(detector, paths):
    (scored,) = detector.scored(paths[0])
    cut = Scored(
        1.0,
        np.ones((2, 3), np.float32),
        scored.placement.__class__(original=(4, 5), window=(1, 2, 2, 3), content=(0, 0, 2, 3)),
    )
    expected = np.full((4, 5), np.nan)
    expected[1:3, 2:5] = 1
    assert np.array_equal(cut.full_map(), expected, equal_nan=True)
