"""Files of more than 8 bits: what they say of their values, and the values as they are stored.

Pillow reads grey of any depth, but of colours only the upper byte. Most PNGs and TIFFs are read by
`png` and tifffile; of other files the lower byte comes from reading them with the bytes of their
samples swapped.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cfa_lab.data.depth import FULL, Span
from cfa_lab.data.opening import BITS_PER_SAMPLE, ORIENTATION, is_white_zero, turned
from cfa_lab.data.png import SIGN, open_png
from cfa_lab.data.repacked import PACKED_BITS

MAX_SAMPLE_VALUE, SAMPLE_FORMAT, LOWEST, HIGHEST = 281, 339, 340, 341
"""TIFF's tags: the largest value, the type of number, and of floating-point ones both ends."""
DEEP_COLOURS = re.compile("(RGB|RGBA|RGBX|LA);16[BLN]")
"""Pillow's words for 16 bits a sample, with their byte order."""
OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""Byte orders, and those in which the lower byte stands where the upper one stood."""


JPEG_2000_STREAM = b"\xff\x4f\xff\x51"


@dataclass(frozen=True)
class Stored:
    """What a file of more than 8 bits says of its values before they are decoded."""

    kind: str
    """`grey`, `colour` or `floating point`."""
    white: float | None = None
    """What its format calls white, where that is less than 16 bits."""
    significant: int | None = None
    """Bits that count, as a PNG may say (sBIT), where they are fewer than it stores."""
    seen: float = 0
    """The largest value that may stand in it, as a TIFF may say."""
    extent: Span | None = None
    """Smallest and largest value, as a TIFF in floating point may say."""
    white_zero: bool = False


def stored_in(file: Image.Image) -> Stored | None:
    """What an open file of more than 8 bits says of its values; None for one of up to 8."""
    if file.mode == "F":
        return Stored("floating point", extent=_extent(file), white_zero=is_white_zero(file))
    grey, words = file.mode.startswith("I"), _words(file)
    if file.format == "PPM":
        largest = words[-1] if isinstance(words[-1], int) else FULL[1] if grey else 255
        if not grey and (largest < 256 or _codec(file) != "ppm"):
            return None  # Pillow brings colours that are written in figures to 8 bits
        white = float(largest) if largest < FULL[1] else None
        if _codec(file) == "ppm_plain" and white is not None:
            white = FULL[1]  # Pillow has brought the figures to it
        return Stored("grey" if grey else "colour", white=white)
    if not grey and not DEEP_COLOURS.fullmatch(str(words[0])):
        return None
    tags: Any = getattr(file, "tag_v2", {})
    bits = tags.get(PACKED_BITS) or max(tags.get(BITS_PER_SAMPLE, (16,)))
    if file.format == "JPEG2000":
        bits = _bits_of_jpeg_2000(file)
    said = tags.get(MAX_SAMPLE_VALUE, 0)
    said = float(max(said) if isinstance(said, tuple) else said)
    return Stored(
        "colour" if str(words[0]).startswith("RGB") else "grey",
        white=float(2**bits - 1) if bits < 16 else None,
        significant=_significant_bits(file) if file.format == "PNG" else None,
        seen=said if said < FULL[1] else 0,
        white_zero=is_white_zero(file),
    )


def values_of(file: Image.Image, stored: Stored) -> np.ndarray:
    """The values of an open file as they are stored, upright: (H, W), or (H, W, 3) for colours.

    Raises what decoders raise.
    """
    if file.format == "PPM" and _codec(file) == "ppm":
        return _portable(file, 3 if stored.kind == "colour" else 1)
    if file.mode.startswith(("I", "F")):
        values = np.asarray(turned(file))
        if file.format == "TIFF" and values.dtype == np.int32 and _is_unsigned(file):
            values = values.view(np.uint32)
        if file.format == "JPEG2000" and stored.white is not None:
            values = values >> 16 - int(stored.white).bit_length()  # Pillow has filled 16 bits
        return values
    if str(_words(file)[0]).startswith("LA"):  # as four bytes: both of grey, both of alpha
        _say_raw_mode(file, lambda word: "RGBA")
        pairs = np.asarray(turned(file)).astype(np.uint16)
        return pairs[..., 0] << 8 | pairs[..., 1]
    if file.format == "TIFF" and (values := _colours_of_tiff(file)) is not None:
        return values
    if file.format == "PNG":
        png = open_png(file)
        if (values := png.colours()) is not None:
            return values
        source = png.uncompressed()  # inflated once for both
        file = Image.open(BytesIO(source))
    else:
        source = Path(file.filename) if file.filename else file.fp.getvalue()  # pyright: ignore
    with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as other:
        other.seek(file.tell())
        upper = np.asarray(turned(other))[..., :3]
    _say_raw_mode(file, lambda word: word[:-1] + OTHER_BYTE[word[-1]])
    lower = np.asarray(turned(file))[..., :3]
    return upper.astype(np.uint16) << 8 | lower


def _colours_of_tiff(file: Any) -> np.ndarray | None:
    """An upright TIFF's colours, in a third of the time; None for what is left to Pillow."""
    if file.tag_v2.get(ORIENTATION, 1) != 1:
        return None
    import tifffile  # only here: most data sets hold no such file

    try:
        file.fp.seek(0)
        values = tifffile.TiffFile(file.fp).pages[file.tell()].asarray()
    except Exception:  # a compression that it lacks, or damage, of which Pillow tells
        return None
    plain = values.dtype == np.uint16 and values.shape[:-1] == (file.height, file.width)
    return values[..., :3] if plain and values.shape[-1] in (3, 4) else None


def _is_unsigned(file: Any) -> bool:
    """Whether a TIFF of 32 bits has no signs; Pillow gives its highest bit as one."""
    return file.tag_v2.get(BITS_PER_SAMPLE) == (32,) and file.tag_v2.get(SAMPLE_FORMAT, (1,)) == (
        1,
    )


def _codec(file: Image.Image) -> str:
    tiles: Any = getattr(file, "tile", None)
    return tiles[0][0] if tiles else ""


def _words(file: Image.Image) -> tuple[Any, ...]:
    """What Pillow's decoder is told of a file: first how its samples lie, in Pillow's words."""
    tiles: Any = getattr(file, "tile", None)
    words = tiles[0][3] if tiles else ""
    return (words or ("",)) if isinstance(words, tuple) else (words,)


def _say_raw_mode(file: Any, change: Callable[[str], str]) -> None:
    """Let an open file be decoded as if its samples lay in another way."""
    tiles = []
    for tile in file.tile:
        words = tile[3]
        other = (change(words[0]), *words[1:]) if isinstance(words, tuple) else change(words)
        tiles.append(tile._replace(args=other) if hasattr(tile, "_replace") else (*tile[:3], other))
    file.tile = tiles


def _portable(file: Any, channels: int) -> np.ndarray:
    """A binary PGM's or PPM's values of two bytes; Pillow's way takes a hundred times as long."""
    shape = (file.height, file.width) + ((channels,) if channels > 1 else ())
    count = file.height * file.width * channels
    file.fp.seek(file.tile[0][2])
    content = file.fp.read(2 * count)
    if len(content) < 2 * count:
        raise OSError(f"image file is truncated ({2 * count - len(content)} bytes are missing)")
    return np.frombuffer(content, ">u2").astype(np.uint16).reshape(shape)


def _significant_bits(file: Any) -> int | None:
    """The highest number in a PNG's sBIT chunk, alpha's left out; None without or for all 16."""
    place = file.fp.tell()
    try:
        file.fp.seek(len(SIGN))
        while len(head := file.fp.read(8)) == 8 and head[4:] != b"IDAT":
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"sBIT":
                bits = file.fp.read(length)
                bits = max(bits[:-1] if len(bits) in (2, 4) else bits, default=0)
                return bits if 8 < bits < 16 else None
            file.fp.seek(length + 4, 1)
        return None
    finally:
        file.fp.seek(place)


def _bits_of_jpeg_2000(file: Any) -> int:
    """Of the first samples, as the code stream's head says (SIZ, the precision behind 36 bytes)."""
    place = file.fp.tell()
    try:
        file.fp.seek(0)
        head = file.fp.read(1 << 16)
        stream = head.find(JPEG_2000_STREAM)
        precision = head[stream + 42 : stream + 43] if stream >= 0 else b""
        return (precision[0] & 0x7F) + 1 if precision else 16
    finally:
        file.fp.seek(place)


def _extent(file: Image.Image) -> Span | None:
    tags: Any = getattr(file, "tag_v2", {})
    ends = [tags.get(LOWEST), tags.get(HIGHEST)]
    if any(end is None for end in ends):
        return None
    low, high = (max(end) if isinstance(end, tuple) else end for end in ends)
    return (float(low), float(high)) if low < high else None
