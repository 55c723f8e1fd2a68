"""Mask files as tools write them: pages, animations, colours, class numbers, fractions, NaN."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers.deep_files import png, tiff
from PIL import Image

from cfa_lab.data.images import decode_image
from cfa_lab.data.masks import load_mask, load_mask_channels, load_mask_values
from cfa_lab.doctor.facts import image_facts, mask_facts
from cfa_lab.errors import UserError

SIZE = (6, 8)


def plane(*places: tuple[int, int], value: float = 255, dtype=np.uint8) -> np.ndarray:
    made = np.zeros(SIZE, dtype)
    for place in places:
        made[place] = value
    return made


FIRST, SECOND = plane((1, 1)), plane((4, 6), (4, 7))


def test_the_pages_of_a_tiff_are_united_and_each_is_a_mask(tmp_path: Path):
    path = tmp_path / "a_mask.tif"
    Image.fromarray(FIRST).save(path, save_all=True, append_images=[Image.fromarray(SECOND)])
    assert np.array_equal(load_mask([path], SIZE), (FIRST | SECOND) > 0)
    assert np.array_equal(load_mask_channels([path]), np.stack([FIRST, SECOND]) > 0)
    assert np.array_equal(load_mask_values([path]), np.stack([FIRST, SECOND]))
    assert np.array_equal(mask_facts(path, 0).unpacked(), (FIRST | SECOND) > 0)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_the_frames_of_an_animation_are_united(tmp_path: Path, suffix: str):
    path = tmp_path / f"a_mask.{suffix}"
    frames = [Image.fromarray(page) for page in (FIRST, SECOND)]
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    assert np.array_equal(load_mask([path], SIZE), (FIRST | SECOND) > 0)


def test_a_page_that_is_a_preview_is_none(tmp_path: Path):
    path = tmp_path / "a_mask.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(FIRST)
        file.write(np.full((3, 4), 255, np.uint8), subfiletype=1)
        file.write(SECOND)
    assert np.array_equal(load_mask([path], SIZE), (FIRST | SECOND) > 0)
    assert image_facts(path).num_frames == 2


def test_a_page_of_another_size_is_refused(tmp_path: Path):
    path = tmp_path / "a_mask.tif"
    small = Image.fromarray(FIRST[:3])
    Image.fromarray(FIRST).save(path, save_all=True, append_images=[small])
    with pytest.raises(UserError, match=r"is 3 x 8 pixels .* its image 6 x 8"):
        load_mask([path], SIZE)


def test_a_phones_preview_is_no_frame_of_its_image(tmp_path: Path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))
    path = tmp_path / "a.jpg"
    picture.save(path, format="MPO", save_all=True, append_images=[picture.resize((4, 4))])
    facts = image_facts(path)
    assert facts.error is None and facts.num_frames == 1 and facts.size == (16, 16)


COLOURED = np.zeros((*SIZE, 3), np.uint8)
COLOURED[1, 1], COLOURED[4, 6], COLOURED[4, 7] = (200, 30, 40), (0, 0, 1), (90, 160, 20)
LABELS = plane((1, 1), value=1) + plane((4, 6), value=2) + plane((4, 7), value=19)
FLOATS = np.where(LABELS > 0, 1, np.nan).astype(np.float32)
PALETTE = Image.fromarray(LABELS).convert("P")
PALETTE.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, *([7, 80, 160] * 253)])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("zero_one.png", (LABELS > 0).astype(np.uint8)),
        ("labels.png", LABELS),
        ("deep.png", LABELS.astype(np.uint16)),
        ("colours.png", COLOURED),
        ("palette.png", PALETTE),
        ("palette.gif", PALETTE),
        ("nan.tif", FLOATS),
        ("opaque.png", np.dstack([COLOURED, np.full(SIZE, 255, np.uint8)])),
        ("bits.png", Image.fromarray(LABELS > 0)),
    ],
)
def test_whatever_is_above_zero_is_defect_and_no_class_is_a_grey_level(
    tmp_path: Path, name: str, content
):
    path = tmp_path / name
    (content if isinstance(content, Image.Image) else Image.fromarray(content)).save(path)
    assert np.array_equal(load_mask([path], SIZE), LABELS > 0)
    facts = mask_facts(path, 0)
    assert facts.error is None and not facts.is_graded
    assert np.array_equal(facts.unpacked(), LABELS > 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_soft_edges_count_whole_and_are_told(tmp_path: Path, dtype):
    top = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[dtype]
    soft = np.zeros(SIZE)
    soft[1, 1:6] = [0.2, 0.6, 1, 0.6, 0.2]
    path = tmp_path / "a_mask.tif"
    Image.fromarray((soft * top).astype(dtype)).save(path)
    assert np.array_equal(load_mask([path], SIZE), soft > 0)
    assert mask_facts(path, 0).is_graded


def test_values_of_fractions_and_nan_are_whole_numbers(tmp_path: Path):
    path = tmp_path / "a_mask.tif"
    values = np.array([[np.nan, 0, 0.25, 3], [-1, 2, np.inf, 7]], np.float32)
    Image.fromarray(values).save(path)
    assert load_mask_values([path])[0].tolist() == [[0, 0, 1, 3], [-1, 2, 2**31, 7]]


def test_white_is_zero_is_the_same_picture_at_every_depth(tmp_path: Path):
    ramp = np.arange(48, dtype=np.uint8).reshape(SIZE)
    tifffile.imwrite(tmp_path / "a.tif", 255 - ramp, photometric="miniswhite")
    deep = 65535 - ramp.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "b.tif", deep, photometric="miniswhite")
    tifffile.imwrite(
        tmp_path / "c.tif", deep, photometric="miniswhite", extratags=[(274, "H", 1, 3, True)]
    )
    assert np.array_equal(decode_image(tmp_path / "a.tif")[:, :, 0], ramp)
    assert np.array_equal(decode_image(tmp_path / "b.tif")[:, :, 0], ramp)
    assert np.array_equal(decode_image(tmp_path / "c.tif")[:, :, 0], ramp[::-1, ::-1])


COLOURS = np.stack([FIRST > 0, FIRST * 0, SECOND > 0], axis=2).astype(np.uint16)
"""1 where there is a defect, of 65535."""
PLANES = np.eye(3, dtype=np.uint16)


@pytest.mark.parametrize(
    ("name", "write"),
    {
        "colours.tif": lambda p: tifffile.imwrite(p, COLOURS, photometric="rgb"),
        "colours.png": lambda p: png(p, COLOURS),
        "alpha.png": lambda p: png(p, np.stack([COLOURS.max(2), COLOURS.max(2) * 0], axis=2)),
        "colours.ppm": lambda p: p.write_bytes(b"P6 8 6 1023\n" + COLOURS.astype(">u2").tobytes()),
        "unsigned.tif": lambda p: tifffile.imwrite(p, COLOURS.max(2) * np.uint32(2**32 - 1)),
        "int64.tif": lambda p: tifffile.imwrite(p, COLOURS.max(2).astype(np.int64)),
        "double.tif": lambda p: tifffile.imwrite(p, COLOURS.max(2) / 1000),
        "white-zero.tif": lambda p: tifffile.imwrite(
            p, 65535 - COLOURS.max(2), photometric="miniswhite", byteorder=">"
        ),
        "white-zero-10.tif": lambda p: tiff(p, 1023 - COLOURS.max(2), 10, [(262, 3, 0)]),
        "pages.tif": lambda p: tifffile.imwrite(
            p,
            np.stack([COLOURS * [1, 0, 0], COLOURS * [0, 0, 1]]).astype(np.uint16),
            photometric="rgb",
        ),
        "pages-64.tif": lambda p: tifffile.imwrite(p, np.stack([FIRST, SECOND]).astype(np.int64)),
    }.items(),
)
def test_the_lowest_value_above_0_counts_in_masks_of_many_bits(tmp_path: Path, name: str, write):
    write(tmp_path / name)
    assert np.array_equal(load_mask([tmp_path / name], SIZE), (FIRST | SECOND) > 0)
    facts = mask_facts(tmp_path / name, 0)
    assert facts.error is None and facts.marks_defects and not facts.is_graded
