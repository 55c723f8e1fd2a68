"""The toy set: equal bytes, exact masks, all or nothing on disk, and not too easy."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cfa_lab.data import decode_image, load_mask, read_samples
from cfa_lab.data.toy import TOY_CATEGORIES, write, write_toy
from cfa_lab.data.toy.render import DEFECTS, PERCEPTIBLE, render
from cfa_lab.errors import UserError

KINDS = [(category, defect) for category in TOY_CATEGORIES for defect in DEFECTS[category]]
write_small = partial(write_toy, size=48, num_train=2, num_good=1, num_defects=1)


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_equal_arguments_give_equal_bytes_and_another_seed_does_not(tmp_path: Path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_small(tmp_path / name, seed=seed)
    first, again, other = (digests(tmp_path / name) for name in "abc")
    assert first == again
    assert {*first} == {*other}
    assert not {*first.values()} & {*other.values()}
    assert len({*first.values()}) == len(first)


def test_more_images_leave_the_others_as_they_are(tmp_path: Path):
    write_small(tmp_path / "few")
    write_toy(tmp_path / "many", size=48, num_train=3, num_good=2, num_defects=2)
    few, many = digests(tmp_path / "few"), digests(tmp_path / "many")
    few.pop(write.MANIFEST)
    assert few.items() <= many.items()


def test_the_whole_set_reads_as_mvtec_with_a_mask_for_every_defect(tmp_path: Path):
    write_toy(tmp_path / "toy", size=40, num_train=3, num_good=2, num_defects=2)
    assert len(TOY_CATEGORIES) >= 3
    for category in TOY_CATEGORIES:
        table = read_samples("mvtec", tmp_path / "toy", category)
        kinds = {sample.defect for sample in table.test if sample.label}
        assert len(kinds) >= 3
        assert len(table.train) == 3 and len(table.test) == 2 + 2 * len(kinds)
        for sample in table.test:
            assert len(sample.masks) == sample.label
            masks = [table.absolute(mask) for mask in sample.masks]
            assert load_mask(masks, (40, 40)).any() == bool(sample.label)
            assert decode_image(table.absolute(sample.path)).shape == (40, 40, 3)


@pytest.mark.parametrize("category, defect", KINDS)
@pytest.mark.parametrize("number", range(3))
def test_masks_are_exact(category: str, defect: str, number: int):
    good = render(category, 192, [5, number])
    flawed = render(category, 192, [5, number], defect)
    assert not good.mask.any()
    change = np.abs(flawed.pixels.astype(int) - good.pixels).max(axis=2)
    assert not change[~flawed.mask].any()
    assert (change[flawed.mask] >= 255 * PERCEPTIBLE - 2).mean() > 0.8
    assert 0.0005 < flawed.mask.mean() < 0.1


@pytest.mark.parametrize("category, defect", KINDS)
@pytest.mark.parametrize("size", [32, 97])
def test_any_size_has_a_visible_defect(category: str, defect: str, size: int):
    picture = render(category, size, [0], defect)
    assert picture.pixels.shape == (size, size, 3) and picture.pixels.dtype == np.uint8
    assert picture.mask.any()


@pytest.mark.parametrize("category", TOY_CATEGORIES)
def test_pictures_are_well_exposed_and_differ(category: str):
    first, second = (render(category, 96, [0, i]).pixels for i in range(2))
    assert 40 < first.mean() < 200 and first.std() > 10
    assert (first == 255).mean() < 0.02
    assert np.abs(first.astype(int) - second).mean() > 5


@pytest.mark.parametrize("category", TOY_CATEGORIES)
def test_the_distance_to_the_mean_picture_does_not_find_the_defects(category: str):
    train = np.stack([render(category, 64, [0, i]).pixels for i in range(12)]).astype(float)
    kinds = [None] * 8 + list(DEFECTS[category]) * 2
    tests = [render(category, 64, [1, i], kind).pixels for i, kind in enumerate(kinds)]
    scores = [np.abs(pixels - train.mean(axis=0)).sum(axis=2).max() for pixels in tests]
    assert roc_auc_score([kind is not None for kind in kinds], scores) < 0.95


def test_a_finished_set_is_left_alone(tmp_path: Path, monkeypatch):
    write_small(tmp_path / "toy")
    monkeypatch.setattr(write, "render", None)
    write_small(tmp_path / "toy")


def test_a_set_of_other_parameters_or_version_is_refused(tmp_path: Path, monkeypatch):
    write_small(tmp_path / "toy")
    before = digests(tmp_path / "toy")
    with pytest.raises(UserError, match="other parameters"):
        write_small(tmp_path / "toy", seed=1)
    monkeypatch.setattr(write, "TOY_VERSION", 0)
    with pytest.raises(UserError, match="another version"):
        write_small(tmp_path / "toy")
    assert digests(tmp_path / "toy") == before


def test_a_folder_with_anything_else_is_refused_and_an_empty_one_is_used(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep me")
    (tmp_path / "file").write_text("keep me too")
    for name in ("mine", "file"):
        with pytest.raises(UserError, match="is no toy set; name a new folder"):
            write_small(tmp_path / name)
    assert (tmp_path / "mine/notes.txt").read_text() == "keep me"
    (tmp_path / "empty").mkdir()
    write_small(tmp_path / "empty")
    assert (tmp_path / "empty" / write.MANIFEST).is_file()


def test_a_failure_midway_leaves_nothing(tmp_path: Path, monkeypatch):
    def failing(category, *args):
        if category == TOY_CATEGORIES[1]:
            raise OSError(28, "No space left on device")
        return render(category, *args)

    monkeypatch.setattr(write, "render", failing)
    with pytest.raises(UserError, match=r"cannot write the toy set to .*No space left"):
        write_small(tmp_path / "toy")
    assert list(tmp_path.iterdir()) == []


def test_writers_may_race(tmp_path: Path):
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(write_small, tmp_path / "toy") for _ in range(3)]:
            done.result()
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
    write_small(tmp_path / "alone")
    assert digests(tmp_path / "toy") == digests(tmp_path / "alone")


@pytest.mark.parametrize(
    "values, message",
    [
        ({"categories": ("gear", "sprocket")}, "sprocket cannot be drawn; choose from gear"),
        ({"categories": ()}, "choose from gear"),
        ({"seed": -1}, "seed=-1 .*0 or more"),
        ({"size": 8}, "size=8 .*32 or more"),
        ({"num_train": 0}, "num_train=0 .*1 or more"),
    ],
)
def test_impossible_values_are_refused_before_anything_is_written(tmp_path: Path, values, message):
    with pytest.raises(UserError, match=message):
        write_toy(tmp_path / "toy", **values)
    assert list(tmp_path.iterdir()) == []


def test_a_chosen_category_is_written_alone(tmp_path: Path):
    write_small(tmp_path / "toy", categories=("weave",))
    assert sorted(p.name for p in (tmp_path / "toy").iterdir()) == [write.MANIFEST, "weave"]


def test_a_toy_set_may_bear_other_names(tmp_path: Path):
    write_small(tmp_path / "mvtec", categories={"bottle": "gear", "screw": "gear"})
    tables = [read_samples("mvtec", tmp_path / "mvtec", name) for name in ("bottle", "screw")]
    assert {s.defect for s in tables[0].test} == {"good", *DEFECTS["gear"]}
    first, second = (table.absolute(table.train[0].path).read_bytes() for table in tables)
    assert first != second
    write_small(tmp_path / "mvtec", categories={"bottle": "gear", "screw": "gear"})
    with pytest.raises(UserError, match="other parameters"):
        write_small(tmp_path / "mvtec", categories={"bottle": "gear", "screw": "hide"})
    with pytest.raises(UserError, match="zebra cannot be drawn"):
        write_small(tmp_path / "new", categories={"bottle": "zebra"})
