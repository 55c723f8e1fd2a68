"""Resizing in floating point: Pillow's numbers, all channels at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cfa_lab.data.resize import FILTERS, resize

SIDES = st.integers(1, 70)


def by_pillow(values: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, 2, 0)]
    return np.stack([np.asarray(plane.resize((size[1], size[0]), how)) for plane in planes], axis=2)


@settings(deadline=None)  # the first call compiles
@given(
    st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.sampled_from([1, 3]), st.integers(0, 99)
)
def test_the_bits_are_pillows(original, size, channels, seed):
    values = np.random.default_rng(seed).normal(100, 90, (*original, channels)).astype(np.float32)
    for how in FILTERS:
        found = resize(values, size, how)
        assert found.dtype == np.float32
        assert np.array_equal(found, by_pillow(values, size, how))


@pytest.mark.parametrize(("original", "size"), [((700, 40), (64, 64)), ((3, 900), (256, 7))])
def test_far_from_square(original, size):
    values = np.random.default_rng(0).random((*original, 3), dtype=np.float32)
    for how in FILTERS:
        assert np.array_equal(resize(values, size, how), by_pillow(values, size, how))


def test_a_view_is_resized_as_its_copy():
    values = np.random.default_rng(0).random((40, 30, 4), dtype=np.float32)[::2, :, :3]
    how = Image.Resampling.LANCZOS
    assert np.array_equal(resize(values, (9, 9), how), resize(values.copy(), (9, 9), how))
