"""Rows of TIFFs that are too large to be held: only the strips or tiles that they lie in are read.

Out of these a small TIFF is made, with the large one's own tags, and read like any other file.
"""

import io
import struct
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, COMPRESSION, OFFSETS, SAMPLES = 256, 257, 259, 273, 277
ROWS_PER_STRIP, BYTE_COUNTS, PLANAR, TILE_OFFSETS, TILE_BYTE_COUNTS = 278, 279, 284, 324, 325
KEPT = {
    *(WIDTH, 258, COMPRESSION, 262, 266, SAMPLES, 280, 281, PLANAR, 317, 320, 322, 323, 338, 339),
    *(340, 341, 347, 529, 530, 531, 532),
}
"""Tags that say how samples are packed and what they mean."""
ORIENTATION, OLD_JPEG = 274, 6
LONG, LONG8 = 4, 16
"""Types of whole numbers, of 4 and of 8 bytes."""


MOST_WHOLE = 40_000_000
"""Pixels of an image that is decoded whole (120 MB); of a larger one only the rows that are needed,
where its format allows."""
BAND = 1024
"""Rows that are read at a time where all of them are needed."""


def bands_of(path: Path, num_rows: int) -> Iterator[io.BytesIO]:
    """All rows of a large TIFF, some at a time; nothing of a file that is read whole."""
    top = 0
    while top < num_rows and (band := band_of(path, top, BAND)) is not None:
        yield band[0]
        top += BAND


def band_of(path: Path, top: int, height: int) -> tuple[io.BytesIO, int] | None:
    """A TIFF with rows of the first image, `height` of them from `top` on or more, and its first.

    None for a file that is no TIFF, that must be turned, or whose parts are no smaller than it is.
    """
    import tifffile  # only here: most data sets hold no such file

    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages.first
            tags = {tag.code: tag for tag in page.tags}
            if getattr(tags.get(ORIENTATION), "value", 1) != 1 or page.compression == OLD_JPEG:
                return None
            in_a_row = page.is_contiguous or len(page.dataoffsets) == 1
            if page.compression == 1 and in_a_row and page.planarconfig == 1 and not page.is_tiled:
                return _plain(file, page, tags, top, height)
            return _packed(file, page, tags, top, height)
    except (tifffile.TiffFileError, KeyError, struct.error):
        return None


def _plain(
    file: Any, page: Any, tags: dict[int, Any], top: int, height: int
) -> tuple[io.BytesIO, int] | None:
    """Of samples that lie one behind the other: the rows themselves."""
    stride = page.imagewidth * page.samplesperpixel * page.bitspersample
    if stride % 8:
        return None
    height = min(height, page.imagelength - top)
    file.filehandle.seek(page.dataoffsets[0] + top * stride // 8)
    rows = file.filehandle.read(height * stride // 8)
    return _written(file, tags, [rows], height, height, OFFSETS), top


def _packed(
    file: Any, page: Any, tags: dict[int, Any], top: int, height: int
) -> tuple[io.BytesIO, int] | None:
    """Of strips or tiles: the whole ones."""
    high = page.tilelength if page.is_tiled else page.rowsperstrip
    if not high or high >= page.imagelength:
        return None
    first, end = top // high, min(ceil((top + height) / high), ceil(page.imagelength / high))
    across = ceil(page.imagewidth / page.tilewidth) if page.is_tiled else 1
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    a_plane = across * ceil(page.imagelength / high)
    parts = []
    for plane in range(planes):
        for number in range(plane * a_plane + first * across, plane * a_plane + end * across):
            file.filehandle.seek(page.dataoffsets[number])
            parts.append(file.filehandle.read(page.databytecounts[number]))
    rows = min(end * high, page.imagelength) - first * high
    offsets = TILE_OFFSETS if page.is_tiled else OFFSETS
    return _written(file, tags, parts, rows, high, offsets), first * high


def _written(
    file: Any, tags: dict[int, Any], parts: Sequence[bytes], rows: int, high: int, offsets: int
) -> io.BytesIO:
    """A TIFF of these strips or tiles."""
    order = file.byteorder
    counts = BYTE_COUNTS if offsets == OFFSETS else TILE_BYTE_COUNTS
    entries: dict[int, tuple[int, int, bytes]] = {}
    for code in KEPT & tags.keys():
        tag = tags[code]
        file.filehandle.seek(tag.valueoffset)
        content = file.filehandle.read(tag.valuebytecount)
        kind = int(tag.dtype)
        if kind == LONG8:  # of files above 4 GB
            numbers = struct.unpack(f"{order}{tag.count}Q", content)
            kind, content = LONG, struct.pack(f"{order}{tag.count}I", *numbers)
        entries[code] = (kind, tag.count, content)
    entries[HEIGHT] = (LONG, 1, struct.pack(f"{order}I", rows))
    if offsets == OFFSETS:
        entries[ROWS_PER_STRIP] = (LONG, 1, struct.pack(f"{order}I", high))
    begin = 8
    places = []
    for part in parts:
        places.append(begin)
        begin += len(part) + len(part) % 2
    entries[offsets] = (LONG, len(parts), struct.pack(f"{order}{len(parts)}I", *places))
    entries[counts] = (LONG, len(parts), struct.pack(f"{order}{len(parts)}I", *map(len, parts)))
    found = io.BytesIO()
    found.write((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", begin))
    for part in parts:
        found.write(part + b"\0" * (len(part) % 2))
    beyond = begin + 2 + 12 * len(entries) + 4
    tail = b""
    found.write(struct.pack(f"{order}H", len(entries)))
    for code, (kind, count, content) in sorted(entries.items()):
        if len(content) > 4:
            place = struct.pack(f"{order}I", beyond + len(tail))
            tail += content + b"\0" * (len(content) % 2)
        else:
            place = content.ljust(4, b"\0")
        found.write(struct.pack(f"{order}HHI", code, kind, count) + place)
    found.write(bytes(4) + tail)
    found.seek(0)
    return found
