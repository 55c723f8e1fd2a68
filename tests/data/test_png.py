"""PNGs with colours of 16 bits: all filters, and what is left to Pillow or refused."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.deep_files import chunk, png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cfa_lab.data.decoded import read_values
from cfa_lab.data.png import open_png
from cfa_lab.errors import UserError

RNG = np.random.default_rng(3)
VALUES = RNG.integers(0, 65536, (7, 11, 3), dtype=np.uint16)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6"/>'


@settings(deadline=None)  # the first call compiles
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([3, 4]),
    st.integers(0, 4),
    st.booleans(),
)
def test_all_filters_are_undone(tmp_path_factory, size, channels, filtering, interlaced):
    values = RNG.integers(0, 65536, (*size, channels), dtype=np.uint16)
    path = tmp_path_factory.getbasetemp() / "filters.png"
    png(path, values, filtering=filtering, interlaced=interlaced)
    assert np.array_equal(read_values(path)[0], values[..., :3])


def test_what_may_turn_the_picture_is_left_to_pillow(tmp_path: Path):
    said = b"XML:com.adobe.xmp\0\0\0\0\0" + XMP
    png(tmp_path / "a.png", VALUES, chunks=[(b"iTXt", said)])
    with Image.open(tmp_path / "a.png") as file:
        assert open_png(file).colours() is None
    assert np.array_equal(read_values(tmp_path / "a.png")[0], np.rot90(VALUES, -1))
    png(tmp_path / "b.png", VALUES, chunks=[(b"tEXt", b"Software\0a camera")])
    with Image.open(tmp_path / "b.png") as file:
        colours = open_png(file).colours()
    assert colours is not None and np.array_equal(colours, VALUES)


def rewritten(path: Path, rows: bytes | None = None, packed: bytes | None = None) -> Path:
    """The file `VALUES` with other filtered rows or another stream."""
    png(path, VALUES)
    content = path.read_bytes()
    first = content.index(b"IDAT") - 4
    end = content.index(b"IEND") - 4
    body = chunk(b"IDAT", zlib.compress(rows) if rows is not None else packed or b"")
    path.write_bytes(content[:first] + body + content[end:])
    return path


STRIDE = 11 * 6
ROWS = b"".join(b"\0" + row.astype(">u2").tobytes() for row in VALUES)


def test_rows_that_are_too_many_are_left_out(tmp_path: Path):
    path = rewritten(tmp_path / "a.png", ROWS + ROWS)
    assert np.array_equal(read_values(path)[0], VALUES)


@pytest.mark.parametrize(
    ("rows", "packed", "words"),
    [
        (ROWS[:-1], None, "cut off"),
        (b"\5" + ROWS[1:], None, "filter"),
        (None, zlib.compress(ROWS)[:-1] + b"\0", "incorrect data check"),
        (None, zlib.compress(ROWS)[:STRIDE], "cut off"),
    ],
)
def test_damage_is_named(tmp_path: Path, rows, packed, words):
    with pytest.raises(UserError, match=words) as caught:
        read_values(rewritten(tmp_path / "a.png", rows, packed))
    assert "\n" not in str(caught.value)
