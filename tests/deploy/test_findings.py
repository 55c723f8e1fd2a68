import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from cfa_lab.data.geometry import Placement
from cfa_lab.deploy.findings import judge
from cfa_lab.deploy.runtime import Scored


def scored(values, top=0, left=0, original=None):
    values = np.asarray(values, dtype=np.float32)
    original = original or values.shape
    window = (top, left, *values.shape)
    return Scored(float(values.max()), values, Placement(original, window, (0, 0, *values.shape)))


def test_a_score_at_the_threshold_is_a_defect():
    one = scored([[0.0, 0.5]])
    for threshold, decision in ((0.5, 1), (0.5000001, 0), (None, None)):
        found = judge(one, image_threshold=threshold, pixel_threshold=None)
        assert found.decision == decision
        assert found.area is None and found.box is None


def test_the_largest_region_is_boxed_in_the_original_image():
    values = np.zeros((6, 8))
    values[0, 0] = values[2:4, 3:6] = values[5, 7] = 1
    found = judge(
        scored(values, top=10, left=20, original=(50, 60)),
        image_threshold=None,
        pixel_threshold=1.0,
    )
    assert found.area == 8
    assert found.box == (12, 23, 2, 3)


def test_pixels_that_touch_at_a_corner_are_one_region():
    found = judge(scored(np.eye(4)), image_threshold=None, pixel_threshold=0.5)
    assert (found.area, found.box) == (4, (0, 0, 4, 4))


def test_nothing_above_the_threshold_has_an_area_of_0_and_no_box():
    found = judge(scored(np.zeros((2, 2))), image_threshold=1.0, pixel_threshold=0.5)
    assert (found.decision, found.area, found.box) == (0, 0, None)


@given(arrays(np.float32, (5, 7), elements=st.sampled_from([0.0, 1.0])))
def test_the_box_is_that_of_a_largest_region(values):
    found = judge(scored(values), image_threshold=None, pixel_threshold=1.0)
    labels, count = ndimage.label(values >= 1, structure=np.ones((3, 3)))  # pyright: ignore
    if not count:
        assert found.box is None
        return
    sizes = [(labels == i + 1).sum() for i in range(count)]
    boxes = []
    for i in np.flatnonzero(np.array(sizes) == max(sizes)):
        rows, columns = np.nonzero(labels == i + 1)
        boxes.append(
            (rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1),
        )
    assert found.box in boxes
    assert found.area == pytest.approx(values.sum())
