"""TIFFs of a form that Pillow does not read, told anew in one that it does.

White is zero with the higher byte first, samples of 10 or 14 bits packed, grey with transparency,
numbers of 64 bits: tifffile reads them, and Pillow what is made of them, like any other file.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PACKED_BITS = 65017
"""A private tag: how many bits a sample had before it was given 16."""
KEPT = (274, 281, 340, 341)
"""Tags that stay: orientation, largest value, and both ends of floating-point numbers."""
ALPHA = (1, 2)
FORMS = {0: "miniswhite", 1: "minisblack", 2: "rgb"}


def repacked(source: Path | io.BytesIO, most_pixels: int = 0) -> io.BytesIO | None:
    """The pages of a TIFF in a form that Pillow reads; None for any other file and form."""
    if not _is_tiff(source):
        return None
    import tifffile  # only here: most data sets hold no such file

    found = io.BytesIO()
    try:
        if isinstance(source, io.BytesIO):
            source.seek(0)
        with tifffile.TiffFile(source) as file, tifffile.TiffWriter(found) as writer:
            for page in file.pages:
                page: Any
                if most_pixels and page.imagewidth * page.imagelength > most_pixels:
                    raise Image.DecompressionBombError
                values = _values(page)
                if values is None:
                    return None
                own = [(tag.code, tag.dtype, tag.count, tag.value) for tag in page.tags]
                tags = [(*tag, True) for tag in own if tag[0] in KEPT]
                if 8 < page.bitspersample < 16:
                    tags.append((PACKED_BITS, 3, 1, page.bitspersample, True))
                form: Any = FORMS[page.photometric]
                writer.write(
                    values,
                    photometric=form,
                    subfiletype=int(page.subfiletype),
                    extratags=tags,
                    metadata=None,
                )
    except Image.DecompressionBombError:
        raise
    except Exception:  # a compression that tifffile lacks, or damage: Pillow has told already
        return None
    found.seek(0)
    return found


def _is_tiff(source: Path | io.BytesIO) -> bool:
    if isinstance(source, Path):
        with source.open("rb") as file:
            head = file.read(4)
    else:
        head = source.getvalue()[:4]
    return head in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _values(page: Any) -> np.ndarray | None:
    """A page's values, (H, W) or (H, W, 3), of a type that Pillow has; None for what is no image.

    Transparency is left out.
    """
    if page.photometric not in FORMS or page.imagedepth > 1:
        return None
    if page.bitspersample in range(9, 16):
        return _unpacked(page)
    values = page.asarray()
    channels = 3 if page.photometric == 2 else 1
    if page.samplesperpixel > 1 and page.planarconfig == 2:
        values = np.moveaxis(values, 0, -1)
    if page.samplesperpixel > channels:
        if page.samplesperpixel > channels + 1 or page.extrasamples[0] not in ALPHA:
            return None
        values = values[..., :channels]
    if channels == 1:
        values = values.reshape(page.imagelength, page.imagewidth)
    kind = values.dtype.kind
    if kind == "f":
        return None if channels > 1 else values.astype(np.float32)
    if kind not in "iu" or page.bitspersample < 8:
        return None
    if values.dtype.itemsize > 2 or kind == "i":
        low, high = values.min(), values.max()
        if channels > 1 or low < -(2**31) or high >= 2**31:
            return None
        return values.astype(np.int32)
    return values.astype(values.dtype.newbyteorder("="))


def _unpacked(page: Any) -> np.ndarray | None:
    """Grey values of 9 to 15 bits that lie without gaps, rows beginning with a byte."""
    bits, width, height = page.bitspersample, page.imagewidth, page.imagelength
    if page.samplesperpixel > 1 or page.compression != 1 or page.is_tiled or page.fillorder != 1:
        return None
    stride = -(-width * bits // 8)
    handle, rows = page.parent.filehandle, bytearray()
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        handle.seek(offset)
        rows += handle.read(count)
    packed = np.frombuffer(rows, np.uint8, count=height * stride).reshape(height, stride)
    values = np.empty((height, width), np.uint16)
    worth = 1 << np.arange(bits - 1, -1, -1)
    for row, line in zip(values, packed, strict=True):
        row[:] = np.unpackbits(line)[: width * bits].reshape(width, bits) @ worth
    return values
