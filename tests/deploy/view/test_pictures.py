from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from cfa_lab.deploy.view.pictures import CROP_SIDE, MARK, draw, draw_patch, shown_size
from cfa_lab.figures.panels import UNSCORED_GREY

PATH = "square/test/spot/000.png"
MARK_COLOUR = ImageColor.getrgb(MARK)


@pytest.fixture(scope="module")
def examined(viewer):
    return viewer.open(PATH)


def draw_it(examined, viewer, **options) -> Any:
    options.setdefault("pixel_threshold", None)
    return draw(examined, colour_range=viewer.colour_range, **options)


def test_all_pictures_have_the_size_that_clicks_are_measured_in(examined, viewer):
    drawn = draw_it(examined, viewer, pixel_threshold=1.0)
    assert shown_size(examined) == (427, 512)
    for name, picture in vars(drawn).items():
        assert picture.shape == (427, 512, 3) and picture.dtype == np.uint8, name


def test_what_stands_above_the_threshold_is_white(examined, viewer):
    threshold = float(np.median(examined.heat))
    above = draw_it(examined, viewer, pixel_threshold=threshold).above
    expected = Image.fromarray((examined.heat >= threshold).astype(np.uint8) * 255)
    assert (
        above[..., 0] == np.asarray(expected.resize((512, 427), Image.Resampling.NEAREST))
    ).all()
    assert set(np.unique(above)) == {0, 255}


def test_without_threshold_or_mask_there_is_no_such_picture(examined, viewer):
    drawn = draw_it(replace(examined, mask=None), viewer)
    assert drawn.above is None and drawn.mask is None
    assert draw_it(examined, viewer).mask.max() == 255


def test_what_was_not_scored_is_grey(examined, viewer):
    cut = replace(examined)
    cut.__dict__["heat"] = examined.heat.copy()
    cut.heat[:20] = np.nan
    drawn = draw_it(cut, viewer, pixel_threshold=0.0)
    assert (drawn.above[:200] == UNSCORED_GREY).all() and (drawn.above[220:] == 255).all()


def test_the_clicked_patch_is_marked_where_it_is(examined, viewer):
    plain = draw_it(examined, viewer)
    marked = draw_it(examined, viewer, marked=(20, 24, 5, 6))
    changed = (plain.image != marked.image).any(axis=2)
    rows, columns = changed.nonzero()
    scale = 512 / 48
    assert abs(rows.min() - 20 * scale) < 3 and abs(rows.max() - 25 * scale) < 3
    assert abs(columns.min() - 24 * scale) < 3 and abs(columns.max() - 30 * scale) < 3
    assert (marked.image[changed] == MARK_COLOUR).all()
    assert (marked.overlay[changed] == MARK_COLOUR).all()


def test_a_patch_stands_in_the_middle_and_grey_is_beyond_the_image():
    image = np.full((40, 48, 3), 10, dtype=np.uint8)
    image[0:4, 0:4] = 250
    picture = draw_patch(image, (0, 0, 4, 4))
    assert picture.shape == (CROP_SIDE, CROP_SIDE, 3)
    assert (picture[:50] == UNSCORED_GREY).all() and (picture[:, :50] == UNSCORED_GREY).all()
    assert (picture[80, 80] == 250).all() and (picture[150, 150] == 10).all()
    assert (draw_patch(image, (36, 44, 4, 4))[80, 80] == 10).all()
