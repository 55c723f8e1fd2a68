"""Image files written byte by byte, as cameras write them and Pillow does not."""

import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
"""The first six passes of an interlaced PNG: first row and column, and their steps."""


def chunk(name: bytes, content: bytes) -> bytes:
    """A PNG's chunk."""
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def png(
    path: Path,
    values: np.ndarray,
    *,
    bits: int = 16,
    significant: int | None = None,
    filtering: int = 0,
    interlaced: bool = False,
    chunks: Sequence[tuple[bytes, bytes]] = (),
    palette: np.ndarray | None = None,
) -> Path:
    """Write values (h, w[, 2..4]) as a PNG of some bits a sample; `significant` is what it says.

    `filtering` is the number of the filter of all rows; `chunks` stand before the pixels.
    """
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else values.shape[2]
    kind = 3 if palette is not None else {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    said = [] if significant is None else [(b"sBIT", bytes([significant] * channels))]
    colours = [] if palette is None else [(b"PLTE", palette.astype(np.uint8).tobytes())]
    passes = [*ADAM7, (1, 0, 2, 1)] if interlaced else [(0, 0, 1, 1)]
    rows = b"".join(
        _filtered(part, bits, channels, filtering)
        for top, left, down, right in passes
        if (part := values[top::down, left::right]).size
    )
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, int(interlaced))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(name, content) for name, content in [*said, *colours, *chunks])
        + b"".join(chunk(b"IDAT", part) for part in _halves(zlib.compress(rows)))
        + chunk(b"IEND", b"")
    )
    return path


def _halves(content: bytes) -> Iterable[bytes]:
    middle = len(content) // 2
    return content[:middle], content[middle:]


def packed(values: np.ndarray, bits: int) -> np.ndarray:
    """Rows of samples as bytes, the first sample in the highest bits."""
    rows = values.reshape(len(values), -1).astype(np.int64)
    digits = rows[..., None] >> np.arange(bits - 1, -1, -1) & 1
    return np.packbits(digits.reshape(len(values), -1).astype(np.uint8), axis=1)


def _filtered(values: np.ndarray, bits: int, channels: int, kind: int) -> bytes:
    """A PNG's rows, each after the number of its filter (section 9 of the standard)."""
    rows = packed(values, bits).astype(int)
    step = max(1, bits * channels // 8)
    found, above = b"", np.zeros_like(rows[0])
    for row in rows:
        left, corner = (np.concatenate([np.zeros(step, int), r])[: len(row)] for r in (row, above))
        by = (left * 0, left, above, (left + above) // 2, _paeth(left, above, corner))[kind]
        found += bytes([kind]) + ((row - by) % 256).astype(np.uint8).tobytes()
        above = row
    return found


def _paeth(left: np.ndarray, above: np.ndarray, corner: np.ndarray) -> np.ndarray:
    guess = left + above - corner
    away = np.stack([abs(guess - one) for one in (left, above, corner)])
    return np.choose(away.argmin(axis=0), (left, above, corner))


def tiff(path: Path, values: np.ndarray, bits: int, tags: Sequence[tuple[int, int, int]] = ()):
    """Write values (h, w) as a TIFF of packed samples of some bits; `tags`: number, type, value."""
    height, width = values.shape
    content = packed(values, bits).tobytes()
    own = {
        256: (3, width),
        257: (3, height),
        258: (3, bits),
        259: (3, 1),
        262: (3, 1),
        273: (4, 8),
        277: (3, 1),
        278: (3, height),
        279: (4, len(content)),
    }
    own |= {number: (kind, value) for number, kind, value in tags}
    content += b"\0" * (len(content) % 2)
    entries = b"".join(struct.pack("<HHII", n, k, 1, v) for n, (k, v) in sorted(own.items()))
    head = struct.pack("<2sHI", b"II", 42, 8 + len(content))
    path.write_bytes(head + content + struct.pack("<H", len(own)) + entries + bytes(4))
    return path
