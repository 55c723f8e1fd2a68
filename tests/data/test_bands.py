"""Rows of TIFFs too large to be held: the pixels of the whole, whatever the file is like."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from helpers.deep_files import tiff
from PIL import Image

from cfa_lab.data import Geometry, bands, decode_image, depth_found, images, load_image
from cfa_lab.data.bands import band_of
from cfa_lab.data.decoded import decode_band
from cfa_lab.data.depth import Depth
from cfa_lab.data.images import image_size
from cfa_lab.data.stored import Stored
from cfa_lab.data.tiles import tiles_of

RNG = np.random.default_rng(5)
HEIGHT, WIDTH = 150, 70
COLOUR = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
TWELVE = RNG.integers(0, 4096, (HEIGHT, WIDTH, 3), dtype=np.uint16)
SMOOTH = np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
STRIPS: dict[str, Any] = {"rowsperstrip": 16}
TILES: dict[str, Any] = {"tile": (32, 16)}
RGB: dict[str, Any] = {"photometric": "rgb"}
FILES: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "plain": (COLOUR, {**RGB}),
    "plain strips": (COLOUR, {**RGB, **STRIPS}),
    "plain tiles": (COLOUR, {**RGB, **TILES}),
    "grey": (SMOOTH, {}),
    "deflate": (COLOUR, {**RGB, **STRIPS, "compression": "zlib"}),
    "predictor": (COLOUR, {**RGB, **TILES, "compression": "zlib", "predictor": True}),
    "big-endian": (TWELVE, {**RGB, **STRIPS, "byteorder": ">", "compression": "zlib"}),
    "12 bits": (TWELVE, {**RGB}),
    "12 bits, tiles": (TWELVE, {**RGB, **TILES, "compression": "zlib", "bigtiff": True}),
    "white is zero": (TWELVE[..., 0], {**STRIPS, "photometric": "miniswhite"}),
    "planes": (np.moveaxis(COLOUR, 2, 0), {**RGB, **STRIPS, "planarconfig": "separate"}),
    "alpha": (
        np.dstack([COLOUR, COLOUR[..., :1]]),
        {**RGB, **STRIPS, "extrasamples": ["unassalpha"]},
    ),
    "float": (SMOOTH.astype(np.float32) / 255, {**STRIPS, "compression": "zlib"}),
}
PILLOWS = {"tiff_lzw": COLOUR, "packbits": SMOOTH, "jpeg": np.dstack([SMOOTH] * 3)}


def written(folder: Path, name: str) -> Path:
    path = folder / f"{name}.tif"
    if name in PILLOWS:
        Image.fromarray(PILLOWS[name]).save(path, compression=name, tiffinfo={278: 16})
    elif name == "palette":
        image = Image.fromarray(SMOOTH)
        image.putpalette(RNG.integers(0, 256, 768).astype(np.uint8).tobytes())
        image.save(path, compression="tiff_lzw", tiffinfo={278: 16})
    elif name == "packed":
        tiff(path, TWELVE[..., 0], 12)
    else:
        values, options = FILES[name]
        form: dict[str, Any] = {"photometric": "minisblack"} | options
        tifffile.imwrite(path, values, **form)
    return path


@pytest.mark.parametrize("name", [*FILES, *PILLOWS, "palette", "packed"])
def test_bands_are_rows_of_the_whole(tmp_path: Path, name: str):
    path = written(tmp_path, name)
    depth = Depth(range=(0, 1)) if name == "float" else Depth(12)
    whole = decode_image(path, depth)
    for top, height in ((0, 32), (32, 32), (40, 7), (128, 64), (149, 1)):
        band = decode_band(path, depth, top, height)
        assert band is not None
        rows, first = band
        assert first <= top < first + len(rows) and top - first < 32
        assert len(rows) >= min(height, HEIGHT - top) and len(rows) < HEIGHT
        assert rows.dtype == whole.dtype
        assert np.array_equal(rows, whole[first : first + len(rows)])


def test_what_has_no_parts_or_must_be_turned_is_read_whole(tmp_path: Path):
    one = tmp_path / "one.tif"
    tifffile.imwrite(one, COLOUR, **RGB, compression="zlib", rowsperstrip=HEIGHT)
    assert band_of(one, 0, 32) is None
    turned = tmp_path / "turned.tif"
    tag = [(274, "H", 1, 6, True)]
    tifffile.imwrite(turned, COLOUR, **RGB, **STRIPS, extratags=tag, metadata=None)
    assert band_of(turned, 0, 32) is None
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    assert band_of(tmp_path / "a.png", 0, 32) is None


@pytest.mark.parametrize("name", ["deflate", "plain", "tiff_lzw", "12 bits, tiles"])
def test_tiles_of_a_large_image_are_those_of_a_small_one(tmp_path: Path, monkeypatch, name: str):
    path = written(tmp_path, name)
    geometry = Geometry(resize="tile", height=64, width=64, overlap=32, bits=12)
    tiles = tiles_of([path], iter([image_size(path)]), geometry)
    expected = [load_image(tile, geometry) for tile in tiles]
    monkeypatch.setattr(bands, "MOST_WHOLE", 100)
    monkeypatch.setattr(images, "decode_image", None)  # whatever is decoded whole fails
    found = [load_image(tile, geometry) for tile in tiles]
    assert len(tiles) == 8
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert one.placement == other.placement


@pytest.mark.parametrize("name", ["12 bits", "12 bits, tiles", "white is zero", "big-endian"])
def test_the_bits_of_a_large_image_are_found_band_by_band(tmp_path: Path, monkeypatch, name: str):
    path = written(tmp_path, name)
    monkeypatch.setattr(bands, "MOST_WHOLE", 100)
    monkeypatch.setattr(bands, "BAND", 32)
    rows: list[int] = []
    inner = depth_found._depth_in  # pyright: ignore[reportPrivateUsage]

    def counted(file: Image.Image, stored: Stored) -> depth_found.FileDepth:
        rows.append(file.height)
        return inner(file, stored)

    monkeypatch.setattr(depth_found, "_depth_in", counted)
    assert depth_found.find_depth([path], workers=1).bits == 12
    assert len(rows) >= 5 and max(rows) < HEIGHT


PROGRAM = """
import resource, sys
from pathlib import Path
import numpy as np
from cfa_lab.data import Geometry, load_image
from cfa_lab.data.images import image_size
from cfa_lab.data.stored import Stored
from cfa_lab.data.tiles import Tile
path, geometry = Path(sys.argv[1]), Geometry(resize="tile", height=256, width=2048)
load_image(Tile(path, 0), geometry)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for index in range(len(geometry.windows(image_size(path)))):
    load_image(Tile(path, index), geometry)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("packing", [None, "zlib"])
def test_memory_is_that_of_a_few_bands(tmp_path: Path, packing):
    """50 million pixels, 150 MB decoded, of which a row of tiles is 1.6 MB."""
    path = tmp_path / "large.tif"
    values = np.zeros((25_000, 2048, 3), np.uint8)
    tifffile.imwrite(path, values, **RGB, compression=packing, rowsperstrip=64)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True
    )
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 20e6
