"""Files that are not read: the line says what they are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cfa_lab.data import decode_image
from cfa_lab.data import opening as module
from cfa_lab.data.masks import load_mask
from cfa_lab.data.opening import MAX_MEGAPIXELS
from cfa_lab.errors import UserError

GREY = np.random.default_rng(0).integers(0, 255, (16, 16), np.uint8)
DEEP = GREY.astype(np.uint16) * 257


def tiff(pixels: np.ndarray, **options) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, pixels, **options)


def jpeg(marker: int, bits: int) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        Image.fromarray(GREY).save(path, "JPEG")
        content = bytearray(path.read_bytes())
        frame = content.index(b"\xff\xc0")
        content[frame + 1], content[frame + 4] = marker, bits
        path.write_bytes(content)

    return write


def raw(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


GREY_ALPHA = np.stack([DEEP, DEEP], axis=2)
FIVE = np.stack([GREY] * 5, axis=2)
UNREAD = {
    "five channels": (tiff(FIVE, photometric="minisblack", planarconfig="contig"), "5 channels, 8"),
    "two channels": (
        tiff(GREY_ALPHA, photometric="minisblack", extrasamples=["unspecified"]),
        "a TIFF of grey with transparency, 16 bits each",
    ),
    "colours in floating point": (
        tiff(np.stack([GREY] * 3, axis=2).astype(np.float32), photometric="rgb"),
        "3 channels, 32 bits each, floating point",
    ),
    "CIELab": (tiff(np.stack([DEEP] * 3, axis=2), photometric="cielab"), "3 channels, 16 bits"),
    "wide": (tiff(GREY.astype(np.uint64) << 40), "1 channel, 64 bits each, whole numbers"),
    "complex": (tiff(GREY.astype(np.complex64)), "complex numbers"),
    "12 bits": (jpeg(0xC1, 12), "a JPEG of 12 bits (extended)"),
    "lossless": (jpeg(0xC3, 8), "a JPEG of 8 bits (lossless)"),
    "heic": (raw(b"\0\0\0\x18ftypheic" + bytes(64)), "a HEIC photograph; save it as PNG"),
    "array": (raw(b"\x93NUMPY\1\0" + bytes(64)), "an array of numpy"),
    "pointer": (raw(b"version https://git-lfs.github.com/spec/v1\noid"), "Git LFS"),
    "empty": (raw(b""), "not an image, or damaged at its start"),
    "noise": (raw(b"no image at all"), "not an image, or damaged at its start"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_file_that_is_not_read_is_called_what_it_is(name: str, tmp_path: Path):
    write, words = UNREAD[name]
    path = tmp_path / "a.png"
    write(path)
    for read in (decode_image, lambda path: load_mask([path], (16, 16))):
        with pytest.raises(UserError) as caught:
            read(path)
        assert words in str(caught.value) and str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_jpeg_that_is_cut_off_is_still_called_damaged(tmp_path: Path):
    Image.fromarray(np.tile(GREY, (8, 8))).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:1500])
    with pytest.raises(UserError, match="truncated"):
        decode_image(tmp_path / "a.jpg")


@pytest.fixture
def limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    module._limit_pixels.cache_clear()  # pyright: ignore[reportPrivateUsage]
    yield lambda value: monkeypatch.setenv(MAX_MEGAPIXELS, value)
    module._limit_pixels.cache_clear()  # pyright: ignore[reportPrivateUsage]


def test_the_message_about_the_limit_names_it_and_a_higher_one_is_followed(
    tmp_path: Path, limit, monkeypatch
):
    Image.new("L", (100, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with pytest.raises(UserError, match=r"more than 0 megapixels.*CFA_LAB_MAX_MEGAPIXELS higher"):
        decode_image(tmp_path / "a.png")
    limit("0.01")
    assert decode_image(tmp_path / "a.png").shape == (100, 100, 3)


@pytest.mark.parametrize("value", ["", "much", "0", "-1", "nan"])
def test_a_limit_that_is_no_number_is_refused(tmp_path: Path, limit, value: str):
    limit(value)
    with pytest.raises(UserError, match="allowed: a number above 0"):
        decode_image(tmp_path / "a.png")
