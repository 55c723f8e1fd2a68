"""Geometry and placement: every resize mode, against torchvision, Pillow and literal arithmetic."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torchvision import transforms

from cfa_lab.data import Geometry, load_image
from cfa_lab.errors import UserError
from cfa_lab.vocabulary import INTERPOLATIONS, RESIZES, Interpolation, Resize

lengths = st.integers(1, 300)
sizes = st.tuples(lengths, lengths)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    height, width = draw(sizes)
    kind: Resize = draw(st.sampled_from([word for word in RESIZES if word != "tile"]))
    size = draw(st.integers(max(height, width), 400)) if kind == "shorter_side" else None
    crop = draw(st.none() | st.integers(1, size or min(height, width)))
    return Geometry(
        resize=kind, height=height, width=width, size=size, crop=crop, interpolation="bilinear"
    )


def noise_image(path: Path, height: int, width: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return Image.fromarray(pixels)


@given(geometry=geometries(), original=sizes)
def test_window_and_content_are_never_empty_and_stay_inside(geometry: Geometry, original):
    plan = geometry.plan(original)
    placement = plan.placement
    assert placement.original == original
    for box, outer in (
        (placement.window, original),
        (placement.content, geometry.input_size),
        (plan.visible, plan.resized),
    ):
        top, left, height, width = box
        assert top >= 0 and left >= 0 and height >= 1 and width >= 1
        assert top + height <= outer[0] and left + width <= outer[1]
    assert plan.visible[2:] == placement.content[2:]


@given(geometry=geometries(), original=sizes)
def test_only_letterboxing_leaves_anything_of_the_input_empty(geometry: Geometry, original):
    content = geometry.plan(original).placement.content
    if geometry.resize != "letterbox":
        assert content == (0, 0, *geometry.input_size)
    elif geometry.crop is None:
        # One side is filled, and the padding of the other is equal on both sides to one pixel.
        height, width = geometry.input_size
        assert content[2] == height or content[3] == width
        assert abs(height - content[2] - 2 * content[0]) <= 1
        assert abs(width - content[3] - 2 * content[1]) <= 1


@example(
    geometry=Geometry(resize="shorter_side", height=1, width=1, size=3), original=(1, 2)
)  # [2/3, 1) of a row lies in its first pixel, though 2/3 rounds to 1
@given(geometry=geometries(), original=sizes)
def test_the_window_is_the_exact_region_rounded_to_pixels(geometry: Geometry, original):
    plan = geometry.plan(original)
    for axis in (0, 1):
        scale = Fraction(original[axis], plan.resized[axis])
        first = plan.visible[axis] * scale
        end = (plan.visible[axis] + plan.visible[axis + 2]) * scale
        start, length = plan.placement.window[axis], plan.placement.window[axis + 2]
        if end - first >= 1:
            assert abs(start - first) <= Fraction(1, 2)
            assert abs(start + length - end) <= Fraction(1, 2)
        else:
            assert length == 1 and start < end and start + 1 > first


@settings(max_examples=80, deadline=None)
@given(geometry=geometries(), original=sizes, where=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_marker_lands_where_the_placement_says(
    tmp_path_factory: pytest.TempPathFactory, geometry: Geometry, original, where
):
    plan = geometry.plan(original)
    window, content = np.array(plan.placement.window), np.array(plan.placement.content)
    scale = np.array(plan.resized) / original  # input pixels per original pixel
    # Wide enough to survive shrinking, and away from the window's edge, which may cut it.
    marker = np.ceil(np.maximum(1, 1.5 / scale)).astype(int)
    margin = np.ceil(np.maximum(1, 2 / scale)).astype(int)
    room = window[2:] - marker - 2 * margin
    assume((room >= 0).all())
    first = window[:2] + margin + np.round(room * where).astype(int)

    pixels = np.zeros((*original, 3), dtype=np.uint8)
    pixels[first[0] : first[0] + marker[0], first[1] : first[1] + marker[1]] = 255
    path = tmp_path_factory.mktemp("marker") / "image.png"
    Image.fromarray(pixels).save(path)
    seen = load_image(path, geometry).pixels[..., 0].astype(float)

    found = np.array([np.average(grid, weights=seen) + 0.5 for grid in np.indices(seen.shape)])
    middle = first + marker / 2
    said = content[:2] + (middle - window[:2]) * content[2:] / window[2:]
    # The window is rounded to whole pixels of the original, so half of one is lost at most.
    assert (np.abs(found - said) <= np.maximum(1, 0.5 * scale + 0.5)).all()


@pytest.mark.parametrize(
    "height, width", [(300, 200), (200, 300), (257, 257), (103, 402), (64, 64)]
)
@pytest.mark.parametrize("crop", [224, 255, 256])
def test_shorter_side_and_crop_are_torchvisions(tmp_path: Path, height: int, width: int, crop: int):
    image = noise_image(tmp_path / "a.png", height, width)
    expected = transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode.LANCZOS),
            transforms.CenterCrop(crop),
        ]
    )(image)
    geometry = Geometry(resize="shorter_side", height=crop, width=crop, size=256)
    assert np.array_equal(load_image(tmp_path / "a.png", geometry).pixels, np.asarray(expected))
    by_crop = Geometry(resize="shorter_side", height=1, width=9, size=256, crop=crop)
    assert np.array_equal(load_image(tmp_path / "a.png", by_crop).pixels, np.asarray(expected))


@pytest.mark.parametrize("original", [(1, 40_000), (40_000, 1), (2, 10**7)])
def test_shorter_side_makes_nothing_that_cannot_be_held(original: tuple[int, int]):
    geometry = Geometry(resize="shorter_side", height=64, width=64, size=64)
    with pytest.raises(UserError, match=r"an image of \d+ x \d+ becomes one of 64 x .* too large"):
        geometry.plan(original)
    assert geometry.plan((1, 2000)).resized == (64, 128_000)
    for resize in ("stretch", "letterbox"):
        assert Geometry(resize=resize, height=64, width=64).plan(original)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_stretch_is_pillows_resize(tmp_path: Path, interpolation: Interpolation):
    image = noise_image(tmp_path / "a.png", 37, 91)
    geometry = Geometry(resize="stretch", height=48, width=32, interpolation=interpolation)
    loaded = load_image(tmp_path / "a.png", geometry)
    expected = image.resize((32, 48), Image.Resampling[interpolation.upper()])
    assert np.array_equal(loaded.pixels, np.asarray(expected))
    assert loaded.placement.window == (0, 0, 37, 91)
    assert loaded.placement.content == (0, 0, 48, 32)


@pytest.mark.parametrize("height, width", [(30, 90), (90, 30), (50, 50), (1, 90)])
def test_letterbox_is_pillows_pad(tmp_path: Path, height: int, width: int):
    image = noise_image(tmp_path / "a.png", height, width)
    geometry = Geometry(resize="letterbox", height=64, width=96)
    expected = ImageOps.pad(image, (96, 64), Image.Resampling.LANCZOS)
    assert np.array_equal(load_image(tmp_path / "a.png", geometry).pixels, np.asarray(expected))


def test_letterbox_with_crop_cuts_the_padding_away(tmp_path: Path):
    noise_image(tmp_path / "a.png", 50, 100)
    whole = Geometry(resize="letterbox", height=100, width=100)
    cropped = Geometry(resize="letterbox", height=100, width=100, crop=40)
    loaded = load_image(tmp_path / "a.png", cropped)
    assert loaded.placement.content == (0, 0, 40, 40)
    assert loaded.placement.window == (5, 30, 40, 40)
    assert np.array_equal(loaded.pixels, load_image(tmp_path / "a.png", whole).pixels[30:70, 30:70])


def test_input_size_is_the_crop_where_there_is_one():
    assert Geometry(resize="stretch", height=4, width=6).input_size == (4, 6)
    assert Geometry(resize="stretch", height=4, width=6, crop=3).input_size == (3, 3)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"height": 0}, "image.height is 0; allowed: at least 1"),
        ({"crop": -1}, "image.crop is -1"),
        ({"resize": "shorter_side"}, "set image.size"),
        ({"resize": "shorter_side", "size": 7, "crop": 8}, "crop of 8 x 8 .*image.size=7"),
        ({"resize": "shorter_side", "size": 7}, "crop of 8 x 9 .*image.size=7"),
        ({"resize": "stretch", "crop": 9}, "image.crop=9 .*8 x 9; make it 8 or less"),
        ({"resize": "letterbox", "crop": 9}, "image.crop=9"),
    ],
)
def test_an_impossible_geometry_is_refused(values: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message) as caught:
        Geometry(**{"resize": "stretch", "height": 8, "width": 9, **values})
    assert "\n" not in str(caught.value)


def test_an_image_that_cannot_fill_an_oblong_crop_is_named(tmp_path: Path):
    geometry = Geometry(resize="shorter_side", height=32, width=64, size=32)
    noise_image(tmp_path / "wide.png", 50, 100)
    assert load_image(tmp_path / "wide.png", geometry).pixels.shape == (32, 64, 3)
    noise_image(tmp_path / "square.png", 50, 50)
    with pytest.raises(UserError, match=r"square\.png: .*32 x 32, less than the crop in width"):
        load_image(tmp_path / "square.png", geometry)
