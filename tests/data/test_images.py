"""Image files of every mode, damaged files, masks, and loading many at once."""

import io
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cfa_lab.data import (
    Geometry,
    decode_image,
    images,
    iterate_images,
    load_batch,
    load_image,
    load_mask,
)
from cfa_lab.errors import UserError

GREY = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
STRETCH = Geometry(resize="stretch", height=4, width=4)
EXIF_ORIENTATION = 0x0112


def saved(path: Path, image: Image.Image | np.ndarray, **options) -> Path:
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **options)
    return path


def three(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=2)


def test_grey_becomes_three_equal_channels(tmp_path: Path):
    for suffix in ("png", "bmp", "tif", "TIFF"):
        decoded = decode_image(saved(tmp_path / f"a.{suffix}", GREY))
        assert decoded.dtype == np.uint8 and decoded.flags.writeable
        assert np.array_equal(decoded, three(GREY))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_of_16_bit_grey_the_upper_bits_are_kept(tmp_path: Path, suffix: str):
    deep = GREY.astype(np.uint16) * 257
    assert np.array_equal(decode_image(saved(tmp_path / f"a.{suffix}", deep)), three(GREY))


def test_of_16_bit_colour_the_upper_bits_are_kept_but_separate_planes_are_refused(tmp_path: Path):
    """Pillow reads the latter without complaint, and wrongly."""
    deep = COLOUR.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    assert np.array_equal(decode_image(tmp_path / "a.tif"), COLOUR)
    planes = np.moveaxis(deep, 2, 0)
    tifffile.imwrite(tmp_path / "b.tif", planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(UserError, match="16-bit colours in separate planes"):
        decode_image(tmp_path / "b.tif")
    shallow = np.moveaxis(COLOUR, 2, 0)
    tifffile.imwrite(tmp_path / "c.tif", shallow, photometric="rgb", planarconfig="separate")
    assert np.array_equal(decode_image(tmp_path / "c.tif"), COLOUR)


def test_32_bit_grey_within_16_bits_is_read_and_beyond_refused(tmp_path: Path):
    deep = GREY.astype(np.int32) * 257
    assert np.array_equal(decode_image(saved(tmp_path / "a.tif", deep)), three(GREY))
    with pytest.raises(UserError, match=r"b\.tif: grey values from .* exceed 16 bits"):
        decode_image(saved(tmp_path / "b.tif", deep + 70_000))


def test_floating_point_grey_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"a\.tif: grey values are floating point; say which"):
        decode_image(saved(tmp_path / "a.tif", GREY.astype(np.float32)))


def test_transparency_is_ignored(tmp_path: Path):
    rgba = np.dstack([COLOUR, GREY])
    assert np.array_equal(decode_image(saved(tmp_path / "a.png", rgba)), COLOUR)
    grey_alpha = Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())))
    assert np.array_equal(decode_image(saved(tmp_path / "b.png", grey_alpha)), three(GREY))


def test_palettes_are_looked_up_with_and_without_transparency(tmp_path: Path):
    palette = Image.fromarray(COLOUR).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    expected = np.asarray(palette.convert("RGB"))
    assert np.array_equal(decode_image(saved(tmp_path / "a.png", palette)), expected)
    clear = saved(tmp_path / "b.png", palette, transparency=bytes(range(16)))
    assert np.array_equal(decode_image(clear), expected)


def test_cmyk_and_one_bit_are_converted(tmp_path: Path):
    cmyk = Image.fromarray(COLOUR).convert("CMYK")
    assert np.array_equal(decode_image(saved(tmp_path / "a.tif", cmyk)), COLOUR)
    bits = Image.fromarray(GREY).convert("1")
    expected = three(np.asarray(bits).astype(np.uint8) * 255)
    assert np.array_equal(decode_image(saved(tmp_path / "b.png", bits)), expected)


@pytest.mark.parametrize(
    "orientation, turned",
    [
        (1, COLOUR),
        (2, COLOUR[:, ::-1]),
        (3, COLOUR[::-1, ::-1]),
        (4, COLOUR[::-1]),
        (5, COLOUR.swapaxes(0, 1)),
        (6, np.rot90(COLOUR, -1)),
        (7, np.rot90(COLOUR, 2).swapaxes(0, 1)),
        (8, np.rot90(COLOUR)),
    ],
)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, turned: np.ndarray):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    path = saved(tmp_path / "a.png", COLOUR, exif=exif)
    assert np.array_equal(decode_image(path), turned)
    assert load_image(path, STRETCH).placement.original == turned.shape[:2]


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_a_truncated_image_is_named(tmp_path: Path, suffix: str):
    large = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path / f"a.{suffix}", large)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=f"cannot read image .*a\\.{suffix}: ") as caught:
        load_image(path, STRETCH)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_image_empty_or_missing_is_named(tmp_path: Path):
    (tmp_path / "a.png").write_text("hello")
    (tmp_path / "b.png").touch()
    (tmp_path / "c.png").mkdir()
    for name, reason in (
        ("a", "not an image"),
        ("b", "not an image"),
        ("c", "Is a directory"),
        ("d", "No such file"),
    ):
        with pytest.raises(UserError, match=rf"cannot read image .*{name}\.png: {reason}"):
            decode_image(tmp_path / f"{name}.png")


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.kron(COLOUR, np.ones((4, 4, 1), np.uint8))).save(stream, kind)
    return stream.getvalue()


ENCODED = {kind: encoded(kind) for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP")}


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(ENCODED)),
    edits=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
    keep=st.floats(0.1, 1),
)
def test_damaged_bytes_give_an_image_or_one_clear_line(tmp_path_factory, kind, edits, keep):
    data = bytearray(ENCODED[kind])
    for where, value in edits:
        data[int(where * len(data))] = value
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    path.write_bytes(data[: int(keep * len(data))])
    try:
        loaded = load_image(path, STRETCH)
    except UserError as error:
        assert "damaged.png" in str(error) and "\n" not in str(error)
    else:
        assert loaded.pixels.shape == (4, 4, 3) and loaded.pixels.dtype == np.uint8


def mask_of(*rows: str) -> np.ndarray:
    return np.array([[int(cell) for cell in row] for row in rows], dtype=np.uint8)


def test_a_mask_is_whatever_is_not_zero(tmp_path: Path):
    ids = mask_of("0012", "0300")
    expected = ids > 0
    variants = {
        "ids.png": ids,
        "binary.png": expected.astype(np.uint8) * 255,
        "bits.png": Image.fromarray(expected),
        "deep.png": ids.astype(np.uint16),
        "float.tif": ids.astype(np.float32),
        "colour.png": np.dstack([0 * ids, 0 * ids, ids]),
        "opaque.png": np.dstack([ids, ids, ids, 0 * ids + 255]),
        "palette.png": Image.fromarray(ids).convert("P"),
    }
    for name, variant in variants.items():
        mask = load_mask([saved(tmp_path / name, variant)], (2, 4))
        assert mask.dtype == bool and np.array_equal(mask, expected), name


def test_masks_are_united_and_none_is_empty(tmp_path: Path):
    first = saved(tmp_path / "a.png", mask_of("10", "00", "00"))
    second = saved(tmp_path / "b.png", mask_of("00", "00", "01"))
    assert np.array_equal(load_mask([first, second], (3, 2)), mask_of("10", "00", "01") > 0)
    assert not load_mask([], (3, 2)).any() and load_mask([], (3, 2)).shape == (3, 2)


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path):
    path = saved(tmp_path / "a_mask.png", mask_of("10", "00", "00"))
    with pytest.raises(UserError, match=r"a_mask\.png is 3 x 2 pixels .* its image 2 x 3"):
        load_mask([path], (2, 3))


def test_a_mask_is_turned_like_an_image(tmp_path: Path):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    upright = mask_of("10", "00", "00")
    path = saved(tmp_path / "a.png", upright, exif=exif)
    assert np.array_equal(load_mask([path], (2, 3)), np.rot90(upright, -1) > 0)


def test_a_damaged_mask_is_named(tmp_path: Path):
    (tmp_path / "a_mask.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UserError, match=r"cannot read mask .*a_mask\.png"):
        load_mask([tmp_path / "a_mask.png"], (2, 3))


@pytest.fixture
def numbered(tmp_path: Path) -> list[Path]:
    """Ten images, each filled with its number."""
    return [saved(tmp_path / f"{i}.png", np.full((6, 6, 3), i, dtype=np.uint8)) for i in range(10)]


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 99])
def test_batches_keep_the_order(numbered: list[Path], batch_size: int, workers: int):
    batches = list(iterate_images(numbered, STRETCH, batch_size=batch_size, workers=workers))
    numbers = [[int(loaded.pixels[0, 0, 0]) for loaded in batch] for batch in batches]
    expected = list(range(10))
    assert numbers == [expected[i : i + batch_size] for i in range(0, 10, batch_size)]


def test_one_batch_is_the_images_in_order_and_may_be_empty(numbered: list[Path]):
    loaded = load_batch(numbered, STRETCH, workers=3)
    assert [int(image.pixels[0, 0, 0]) for image in loaded] == list(range(10))
    assert load_batch([], STRETCH, workers=3) == []


def test_only_the_next_batch_is_loaded_ahead(numbered: list[Path], monkeypatch):
    started: list[Path] = []

    def counted(path: Path, geometry: Geometry):
        started.append(path)
        return load_image(path, geometry)

    monkeypatch.setattr(images, "load_image", counted)
    batches = iterate_images(numbered, STRETCH, batch_size=2, workers=4)
    assert started == []
    next(batches)
    time.sleep(0.1)
    assert sorted(started) == sorted(numbered[:4])
    next(batches)
    time.sleep(0.1)
    assert sorted(started) == sorted(numbered[:6])


def test_closing_early_leaves_no_thread_behind(numbered: list[Path]):
    batches = iterate_images(numbered, STRETCH, batch_size=2, workers=4)
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("cfa_lab-images")]


def test_a_bad_image_is_named_when_its_batch_comes(numbered: list[Path]):
    numbered[7].write_text("no image")
    batches = iterate_images(numbered, STRETCH, batch_size=3, workers=2)
    assert len(next(batches)) == 3 and len(next(batches)) == 3
    with pytest.raises(UserError, match=r"7\.png"):
        next(batches)
    assert not [t for t in threading.enumerate() if t.name.startswith("cfa_lab-images")]
