import pytest

from cfa_lab.data.geometry import Geometry, Placement
from cfa_lab.deploy.view.patches import patch_at, patch_box, rim_distance

GRID = (8, 6)
GEOMETRIES = {
    "stretch": Geometry(resize="stretch", height=64, width=48),
    "letterbox": Geometry(resize="letterbox", height=64, width=48),
    "shorter_side": Geometry(resize="shorter_side", height=64, width=48, size=80),
    "crop": Geometry(resize="stretch", height=96, width=96, crop=64),
}


@pytest.mark.parametrize("original", [(40, 48), (300, 100), (111, 777), (1, 1), (3, 200)])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_pixel_that_was_seen_lies_in_the_box_of_its_patch(name, original):
    geometry = GEOMETRIES[name]
    try:
        placement = geometry.plan(original).placement
    except ValueError:
        pytest.skip("this geometry refuses the image")
    top, left, height, width = placement.window
    for y in {top, top + height // 2, top + height - 1}:
        for x in {left, left + width // 3, left + width - 1}:
            found = patch_at(placement, geometry.input_size, GRID, (y + 0.5, x + 0.5))
            assert found is not None
            box = patch_box(placement, geometry.input_size, GRID, found)
            assert box is not None
            assert box[0] - 1 <= y < box[0] + box[2] + 1  # half a pixel by rounding
            assert box[1] - 1 <= x < box[1] + box[3] + 1
            assert box[2] >= 1 and box[0] >= top and box[0] + box[2] <= top + height
            assert box[3] >= 1 and box[1] >= left and box[1] + box[3] <= left + width


def test_patches_of_a_stretched_image_tile_it():
    geometry, original = GEOMETRIES["stretch"], (160, 90)
    placement = geometry.plan(original).placement
    boxes = [
        patch_box(placement, geometry.input_size, GRID, (row, column))
        for row in range(GRID[0])
        for column in range(GRID[1])
    ]
    assert sum(box[2] * box[3] for box in boxes if box) == 160 * 90
    assert boxes[0] == (0, 0, 20, 15) and boxes[-1] == (140, 75, 20, 15)


def test_padding_shows_nothing_and_what_was_cut_off_belongs_to_no_patch():
    letterbox = GEOMETRIES["letterbox"]
    placement = letterbox.plan((20, 48)).placement  # 22 rows of padding above
    assert placement.content[0] == 22
    assert patch_box(placement, letterbox.input_size, GRID, (0, 0)) is None
    assert patch_box(placement, letterbox.input_size, GRID, (2, 0)) == (0, 0, 2, 8)
    crop = GEOMETRIES["crop"]
    placement = crop.plan((96, 96)).placement
    assert placement.window == (16, 16, 64, 64)
    assert patch_at(placement, crop.input_size, (8, 8), (15.9, 40)) is None
    assert patch_at(placement, crop.input_size, (8, 8), (16, 79.9)) == (0, 7)
    assert patch_at(placement, crop.input_size, (8, 8), (40, 80)) is None


def test_the_distance_to_the_rim_tells_inside_from_outside():
    placement = Placement((100, 100), (10, 20, 40, 50), (0, 0, 40, 50))
    assert rim_distance(placement, (30, 45)) == 20
    assert rim_distance(placement, (12, 45)) == 2
    assert rim_distance(placement, (5, 45)) == -5
    assert rim_distance(placement, (30, 75)) == -5
