import threading

import numpy as np
import pytest
from PIL import Image

from cfa_lab.data.geometry import Geometry
from cfa_lab.data.images import load_image
from cfa_lab.data.tiles import Tile
from cfa_lab.deploy.intake import BATCHES_AHEAD, batches, take_in

STRETCH = Geometry(resize="stretch", height=32, width=24)


@pytest.fixture
def images(tmp_path):
    paths = []
    for i in range(7):
        pixels = np.random.default_rng(i).integers(0, 256, (40 + i, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        paths.append(tmp_path / f"{i}.png")
    return paths


def test_inputs_are_those_of_training(images):
    taken = take_in(images[0], STRETCH, None)
    assert np.array_equal(taken.inputs[0].pixels, load_image(images[0], STRETCH).pixels)
    assert taken.small is None
    assert taken.content != take_in(images[1], STRETCH, None).content
    assert taken.modified == images[0].stat().st_mtime_ns
    tiles = Geometry(resize="tile", height=32, width=32)
    taken = take_in(images[0], tiles, 20)
    assert len(taken.inputs) == 4
    for i, one in enumerate(taken.inputs):
        alone = load_image(Tile(images[0], i), tiles)
        assert np.array_equal(one.pixels, alone.pixels)
        assert one.placement == alone.placement
    assert taken.small is not None and taken.small.size == (20, 16)


def test_bad_files_are_told_not_raised(tmp_path, images):
    (tmp_path / "bad.png").write_bytes(images[0].read_bytes()[:200])
    Image.new("F", (3, 3)).save(tmp_path / "float.tiff")
    for name in ("bad.png", "none.png", "float.tiff"):
        taken = take_in(tmp_path / name, STRETCH, 10)
        assert taken.error is not None and name in taken.error
        assert not taken.inputs


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10])
def test_order_and_number_are_kept(images, batch_size):
    found = list(batches(images, STRETCH, batch_size=batch_size, workers=3))
    assert [one.path for batch in found for one in batch] == images
    assert {len(batch) for batch in found[:-1]} <= {batch_size}


def test_no_more_is_read_ahead_than_said(images):
    asked = []

    def paths():
        for path in images:
            asked.append(path)
            yield path

    found = batches(paths(), STRETCH, batch_size=1, workers=1)
    next(found)
    assert len(asked) == BATCHES_AHEAD + 1
    found.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("cfa_lab-intake")]
