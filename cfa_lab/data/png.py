"""PNGs with colours of 16 bits, both bytes of each sample, which Pillow does not give."""

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

SIGN = b"\x89PNG\r\n\x1a\n"
TURNING = (b"Raw profile type", b"XML:com.adobe.xmp")
"""How texts begin that may say how the picture is turned."""


@dataclass(frozen=True, eq=False)
class Png:
    """A PNG's chunks as they stand before and after the samples, and these, compressed."""

    before: list[bytes]
    packed: bytes
    after: list[bytes]

    @property
    def _header(self) -> tuple[int, int, int, int]:
        """Width, height, channels, and whether it is interlaced."""
        content = self.before[0][8:-4]
        width, height = (int.from_bytes(content[i : i + 4], "big") for i in (0, 4))
        return width, height, {0: 1, 2: 3, 4: 2, 6: 4}[content[9]], content[12]

    @cached_property
    def _rows(self) -> bytes:
        """The filtered rows, or what there is of them. Raises `zlib.error` for damaged ones."""
        width, height, channels, interlaced = self._header
        most = height * (2 * channels * width + 1) + interlaced * 8 * (height + 8)
        # one more than fits, or the sum that stands behind them is not checked
        return zlib.decompressobj().decompress(self.packed, most + 1)

    def colours(self) -> np.ndarray | None:
        """The samples (H, W, 3) uint16; None where rows are interlaced or may have to be turned.

        Raises ValueError and `zlib.error` for damaged ones.
        """
        width, height, channels, interlaced = self._header
        if interlaced or any(map(_may_turn, self.before + self.after)):
            return None
        stride = 2 * channels * width
        if len(self._rows) < height * (stride + 1):
            raise ValueError("its samples are cut off")
        rows = np.frombuffer(self._rows, np.uint8, height * (stride + 1)).reshape(height, -1)
        if rows[:, 0].max() > 4:
            raise ValueError("it has a filter that no PNG has")
        from cfa_lab.data.unfilter import unfilter  # only here: few images need numba

        found = np.empty((height, stride), np.uint8)
        unfilter(rows, 2 * channels, found)
        samples = found.view(">u2").reshape(height, width, channels)
        return samples[..., :3].astype(np.uint16)

    def uncompressed(self) -> bytes:
        """A PNG whose samples are not compressed any more."""
        content = zlib.compress(self._rows, 0)
        length = len(content).to_bytes(4, "big")
        check = zlib.crc32(content, zlib.crc32(b"IDAT")).to_bytes(4, "big")
        return b"".join([SIGN, *self.before, length, b"IDAT", content, check, *self.after])


def open_png(file: Any) -> Png:
    """The chunks of a PNG that Pillow has opened."""
    before, after, packed = [], [], []
    file.fp.seek(len(SIGN))
    while len(head := file.fp.read(8)) == 8:
        content = file.fp.read(int.from_bytes(head[:4], "big") + 4)
        if head[4:] == b"IDAT":
            packed.append(content[:-4])
        else:
            (after if packed else before).append(head + content)
    return Png(before, b"".join(packed), after)


def _may_turn(chunk: bytes) -> bool:
    """Whether a chunk may say how the picture is turned, or that it is one of several."""
    name, content = chunk[4:8], chunk[8:]
    is_text = name in (b"tEXt", b"zTXt", b"iTXt")
    return name in (b"eXIf", b"acTL") or (is_text and content.startswith(TURNING))
