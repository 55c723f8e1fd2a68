"""RD-MVTec AD: one draw per path and seed, shared by image and mask, written once and whole."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny import TINY_RUN, compose, write_tiny
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cfa_lab.data.images import decode_image
from cfa_lab.data.rotated import Draw, draw, turn, write_rotated
from cfa_lab.errors import UserError
from cfa_lab.run.tables import read_table


@given(path=st.text(min_size=1), seed=st.integers(0, 2**32))
def test_a_draw_depends_on_path_and_seed_and_keeps_its_bounds(path: str, seed: int):
    drawn = draw(path, seed)
    assert drawn == draw(path, seed)
    assert drawn != draw(path + "x", seed) and drawn != draw(path, seed + 1)
    assert -10 <= drawn.degrees <= 10 and 0 <= drawn.top < 1 and 0 <= drawn.left < 1


def test_draws_fill_their_ranges_evenly():
    draws = [draw(f"screw/test/good/{i}.png", 0) for i in range(2000)]
    assert abs(np.mean([d.degrees for d in draws])) < 0.5
    assert np.std([d.degrees for d in draws]) == pytest.approx(20 / 12**0.5, rel=0.05)
    assert np.mean([d.top for d in draws]) == pytest.approx(0.5, abs=0.03)


def test_without_a_turn_the_crop_is_a_window_of_seven_eighths():
    pixels = np.arange(64 * 32, dtype=np.int64).reshape(64, 32).astype(np.uint8)
    cut = turn(pixels, Draw(0.0, 1.0, 0.0), Image.Resampling.BILINEAR)
    assert np.array_equal(cut, pixels[8:64, 0:28])


def test_a_turn_moves_a_mark_as_the_angle_says():
    pixels = np.zeros((257, 257), dtype=np.uint8)
    pixels[128, 208:213] = 255  # 82 pixels right of the middle
    turned = turn(pixels, Draw(10.0, 0.5, 0.5), Image.Resampling.NEAREST)
    row, column = np.argwhere(turned).mean(axis=0) + round((257 - 224) * 0.5)
    assert row == pytest.approx(128 - 82 * np.sin(np.deg2rad(10)), abs=1.5)
    assert column == pytest.approx(128 + 82 * np.cos(np.deg2rad(10)), abs=1.5)


def test_images_and_masks_share_their_geometry(tmp_path: Path):
    """The tiny spots are brighter by 90 grey values: they must still lie under their masks."""
    write_tiny(tmp_path / "in" / "square", num_train=2, normal=1, defects=6)
    made = write_rotated(tmp_path / "in", tmp_path / "out", "square", seed=3)
    for path in sorted((made / "square" / "test" / "spot").iterdir()):
        image = decode_image(path)[..., 0].astype(float)
        mask = decode_image(made / "square/ground_truth/spot" / f"{path.stem}_mask.png")[..., 0] > 0
        if mask.sum() >= 30:
            assert image[mask].mean() - image[~mask].mean() > 60, path
    assert len(list(made.glob("square/ground_truth/spot/*"))) == 6


def test_a_set_is_made_once_and_another_source_or_recipe_is_refused(tmp_path: Path):
    write_tiny(tmp_path / "in" / "square")
    made = write_rotated(tmp_path / "in", tmp_path / "out", "square", seed=0)
    files = {p: p.read_bytes() for p in made.rglob("*.png")}
    recipe = json.loads((made / "square" / "rd_mvtec.json").read_text())
    assert recipe["seed"] == 0 and recipe["degrees"] == 10
    assert write_rotated(tmp_path / "in", tmp_path / "out", "square", seed=0) == made
    shutil.rmtree(made)
    write_rotated(tmp_path / "in", tmp_path / "out", "square", seed=0)
    assert {p: p.read_bytes() for p in made.rglob("*.png")} == files
    other = write_rotated(tmp_path / "in", tmp_path / "out", "square", seed=1)
    assert {p.read_bytes() for p in other.rglob("*.png")}.isdisjoint(files.values())
    (tmp_path / "in/square/train/good/000.png").unlink()
    with pytest.raises(UserError, match=r"made from other images .* choose another dataset\.made"):
        write_rotated(tmp_path / "in", tmp_path / "out", "square", seed=0)


def test_a_damaged_source_leaves_nothing_half_made(tmp_path: Path):
    write_tiny(tmp_path / "in" / "square")
    (tmp_path / "in/square/test/spot/002.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"cannot read image .*002\.png"):
        write_rotated(tmp_path / "in", tmp_path / "out", "square", seed=0)
    assert [p for p in tmp_path.joinpath("out").rglob("*") if p.is_file()] == []


def test_a_run_reads_the_turned_set(tmp_path: Path):
    write_tiny(tmp_path / "in" / "square")
    given = [*TINY_RUN[1:], "dataset=rd_mvtec", f"dataset.root={tmp_path / 'in'}"]
    table = read_table(compose(*given, f"dataset.made={tmp_path / 'out'}", "dataset.draw_seed=5"))
    assert table.root == tmp_path / "out" / "seed5"
    assert decode_image(table.absolute(table.train[0].path)).shape == (35, 42, 3)
    with pytest.raises(UserError, match=r"say where with dataset\.made"):
        read_table(compose(*given, "dataset.made=null"))
