"""Tiles: they cover every pixel, merge without seams, and train and score large images."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers.tiny import TINY_RUN, compose, write_tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cfa_lab.data import Geometry, decode_image, load_image
from cfa_lab.data.images import image_size
from cfa_lab.data.tiles import cut, merge, tiles_of
from cfa_lab.errors import UserError
from cfa_lab.run.run import run


def tiled(height: int = 64, width: int = 96, overlap: int = 32, **more) -> Geometry:
    return Geometry(resize="tile", height=height, width=width, overlap=overlap, **more)


SIZES = st.tuples(st.integers(1, 700), st.integers(1, 700))


@given(original=SIZES, overlap=st.sampled_from([0, 32]))
def test_tiles_cover_every_pixel_and_overlap_as_asked(original, overlap):
    geometry = tiled(overlap=overlap)
    windows = geometry.windows(original)
    seen = np.zeros(geometry.canvas(original), dtype=int)
    for top, left, height, width in windows:
        assert (height, width) == (64, 96) and top % 32 == left % 32 == 0
        assert top < original[0] and left < original[1]
        seen[top : top + height, left : left + width] += 1
    assert seen.min() >= 1
    assert all(
        0 <= c - o < 32 or c == t for c, o, t in zip(seen.shape, original, (64, 96), strict=True)
    )
    for axis, tile in ((0, 64), (1, 96)):
        starts = sorted({window[axis] for window in windows})
        assert all(b - a <= tile - overlap for a, b in pairwise(starts))


@settings(deadline=None)
@given(original=SIZES, overlap=st.sampled_from([0, 32]), stride=st.sampled_from([4, 8, 32]))
def test_parts_of_one_map_merge_into_that_map(original, overlap, stride):
    """Without differences between tiles there is nothing to see of them."""
    geometry = tiled(overlap=overlap)
    canvas = geometry.canvas(original)
    whole = np.random.default_rng(0).random((canvas[0] // stride, canvas[1] // stride))
    whole = whole.astype(np.float32)
    parts, placements = [], []
    image = np.zeros((*original, 3), dtype=np.uint8)
    for window in geometry.windows(original):
        top, left, height, width = (n // stride for n in window)
        parts.append(whole[top : top + height, left : left + width])
        placements.append(cut(image, window)[1])
    np.testing.assert_allclose(merge(parts, placements, geometry), whole, rtol=1e-6)


def test_tiles_that_disagree_fade_into_each_other():
    geometry = tiled(height=64, width=64, overlap=32)
    placements = []
    for window in geometry.windows((64, 96)):
        placements.append(cut(np.zeros((64, 96, 3), dtype=np.uint8), window)[1])
    zero, one = np.zeros((16, 16), np.float32), np.ones((16, 16), np.float32)
    row = merge([zero, one], placements, geometry)[8]
    assert row[0] == 0 and row[-1] == 1
    assert np.diff(row).min() >= 0 and np.diff(row).max() < 0.2


def test_a_tile_is_the_images_own_pixels_and_its_edge_goes_on(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (70, 150, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    geometry = tiled(overlap=0)
    assert image_size(tmp_path / "a.png") == (70, 150)
    tiles = tiles_of([tmp_path / "a.png"], iter([(70, 150)]), geometry)
    assert [tile.index for tile in tiles] == [0, 1, 2, 3]
    last = load_image(tiles[-1], geometry)
    assert last.placement.window == (32, 64, 38, 86)
    assert last.placement.content == (0, 0, 38, 86)
    assert np.array_equal(last.pixels[:38, :86], pixels[32:, 64:])
    assert (last.pixels[38:, 85] == pixels[-1, -1]).all()
    Image.fromarray(pixels[::-1].copy()).save(tmp_path / "a.png", compress_level=0)
    assert np.array_equal(load_image(tiles[0], geometry).pixels, pixels[::-1][:64, :96])


def test_sizes_follow_exif_turns(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert image_size(tmp_path / "a.jpg") == decode_image(tmp_path / "a.jpg").shape[:2] == (30, 20)


@pytest.mark.parametrize(
    "values, line",
    [
        ({"height": 60}, "image.height=60 .* multiple of 32"),
        ({"overlap": 64}, "image.overlap=64 .* 0 to half"),
        ({"crop": 32}, "leaves nothing out"),
    ],
)
def test_tiles_that_cannot_be_are_refused(values, line):
    with pytest.raises(UserError, match=line):
        tiled(**values)


def test_images_smaller_than_a_tile_are_padded_and_scored_whole(tiny_root, tmp_path):
    sizes = [a for a in TINY_RUN if not a.startswith("image.")]
    more = [f"dataset.root={tiny_root}", "image.height=64", "image.width=64", "evaluation.cases=1"]
    run(compose(*sizes, *more, "image.resize=tile", "image.overlap=32"), tmp_path)
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert record["protocol"]["tile_overlap"] == 32
    assert record["metrics"]["test/pixel_auroc"] > 0.5
    assert record["protocol"]["defect_pixels_outside_ratio"] == 0


def test_tiles_train_and_find_defects_at_full_resolution(tmp_path: Path):
    """Spots of 8 pixels in images of 96 x 160: found where they are, on either side of a seam."""
    rng = np.random.default_rng(0)
    root = tmp_path / "data"
    write_tiny(root / "square", num_train=1, normal=1, defects=1)
    for path in sorted(root.rglob("*.png")):
        if "ground_truth" in path.parts:
            continue
        pixels = rng.normal(110, 12, (96, 160))
        if "spot" in path.parts:
            mask = np.zeros((96, 160), dtype=np.uint8)
            mask[44:52, 76:84] = 255
            pixels[mask > 0] += 90
            truth = root / "square/ground_truth/spot" / f"{path.stem}_mask.png"
            Image.fromarray(mask).save(truth)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    sizes = [a for a in TINY_RUN if not a.startswith("image.")]
    more = ["image.resize=tile", "image.height=64", "image.width=64", "image.overlap=32"]
    config = compose(*sizes, *more, f"dataset.root={root}", "evaluation.maps=true")
    run(config, tmp_path / "run")
    record = json.loads((tmp_path / "run/metrics.json").read_text())
    assert record["metrics"]["test/pixel_auroc"] > 0.9
    assert record["metrics"]["test/image_auroc"] == 1
    heat = tifffile.imread(tmp_path / "run/maps/square/test/spot/000.tiff")
    assert heat.shape == (96, 160)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 40 <= row < 56 and 72 <= column < 88


BIG = """
import resource, sys
from helpers.tiny import TINY_RUN, compose
from cfa_lab.run.run import run
from pathlib import Path
run(compose(*sys.argv[2:]), Path(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_images_of_3000_x_2000_train_and_predict_in_less_than_4_gb(tmp_path: Path):
    rng = np.random.default_rng(0)
    for split, kind in (("train", "good"), ("test", "good"), ("test", "spot")):
        pixels = rng.integers(90, 130, (2000, 3000, 3), dtype=np.uint8)
        mask = np.zeros((2000, 3000), dtype=np.uint8)
        mask[1000:1040, 1500:1540] = 255
        if kind == "spot":
            pixels[mask > 0] = 250
            (tmp_path / "data/big/ground_truth/spot").mkdir(parents=True)
            Image.fromarray(mask).save(tmp_path / "data/big/ground_truth/spot/0_mask.png")
        folder = tmp_path / "data/big" / split / kind
        folder.mkdir(parents=True)
        Image.fromarray(pixels).save(folder / "0.png", compress_level=1)
    arguments = [a for a in TINY_RUN if not a.startswith(("image.", "category=", "trainer.epochs"))]
    arguments += ["category=big", f"dataset.root={tmp_path / 'data'}", "trainer.epochs=1"]
    arguments += ["image.resize=tile", "image.height=256", "image.width=256"]
    done = subprocess.run(
        [sys.executable, "-c", BIG, str(tmp_path / "run"), *arguments],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.splitlines()[-1]) * 1024
    record = json.loads((tmp_path / "run/metrics.json").read_text())
    assert record["metrics"]["test/pixel_auroc"] > 0.95
    assert peak < 4e9, f"{peak / 1e9:.2f} GB"
