"""Files of more than 8 bits: what they say of their values, and the values as they are stored.

Pillow reads grey of any depth, but of colours only the upper byte. The lower one comes from reading
the same file with the bytes of its samples swapped.
"""

import re
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cfa_lab.data.depth import FULL, Span
from cfa_lab.data.opening import BITS_PER_SAMPLE, is_white_zero, turned

MAX_SAMPLE_VALUE, LOWEST, HIGHEST = 281, 340, 341
"""TIFF's tags: the largest value, and of floating-point numbers both ends."""
DEEP_COLOURS = re.compile("(RGB|RGBA|RGBX|LA);16[BLN]")
"""Pillow's words for 16 bits a sample, with their byte order."""
OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""Byte orders, and those in which the lower byte stands where the upper one stood."""
PNG_SIGN = b"\x89PNG\r\n\x1a\n"
PNG_HEAD = len(PNG_SIGN)


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
    bits = max(tags.get(BITS_PER_SAMPLE, (16,)))
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
        return np.asarray(turned(file))
    if str(_words(file)[0]).startswith("LA"):  # as four bytes: both of grey, both of alpha
        _say_raw_mode(file, lambda word: "RGBA")
        pairs = np.asarray(turned(file)).astype(np.uint16)
        return pairs[..., 0] << 8 | pairs[..., 1]
    if file.format == "PNG":
        source = _inflated(file)  # once for both
        file = Image.open(BytesIO(source))
    else:
        source = Path(file.filename)  # pyright: ignore[reportAttributeAccessIssue]
    with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as other:
        upper = np.asarray(turned(other))[..., :3]
    _say_raw_mode(file, lambda word: word[:-1] + OTHER_BYTE[word[-1]])
    lower = np.asarray(turned(file))[..., :3]
    return upper.astype(np.uint16) << 8 | lower


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


def _inflated(file: Any) -> bytes:
    """An open PNG whose samples are not compressed any more."""
    before, after, packed = [], [], []
    file.fp.seek(PNG_HEAD)
    while len(head := file.fp.read(8)) == 8:
        content = file.fp.read(int.from_bytes(head[:4], "big") + 4)
        if head[4:] == b"IDAT":
            packed.append(content[:-4])
        else:
            (after if packed else before).append(head + content)
    most = 2 * file.height * (8 * file.width + 8)  # interlaced ones hold some bytes more
    rows = zlib.decompressobj().decompress(b"".join(packed), most)
    content = b"IDAT" + zlib.compress(rows, 0)
    length = (len(content) - 4).to_bytes(4, "big")
    check = zlib.crc32(content).to_bytes(4, "big")
    return b"".join([PNG_SIGN, *before, length, content, check, *after])


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
        file.fp.seek(PNG_HEAD)
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


def _extent(file: Image.Image) -> Span | None:
    tags: Any = getattr(file, "tag_v2", {})
    ends = [tags.get(LOWEST), tags.get(HIGHEST)]
    if any(end is None for end in ends):
        return None
    low, high = (max(end) if isinstance(end, tuple) else end for end in ends)
    return (float(low), float(high)) if low < high else None
