"""Images stored more than once never lie on both sides of training, validation and test."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cfa_lab.cli import compose
from cfa_lab.data.doubts import notes_by_name
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.data.twins import contents, keep_together
from cfa_lab.errors import UserError
from cfa_lab.run.tables import read_table, seen_in_training


def write(root: Path, suffix: str) -> None:
    """Eight training images and their twins, the same pixels in files of another kind."""
    rng = np.random.default_rng(0)
    for place in ("train/good", "test/good", "test/dent"):
        (root / "part" / place).mkdir(parents=True)
    pictures = [Image.fromarray(p) for p in rng.integers(0, 255, (9, 16, 16, 3), np.uint8)]
    for i, picture in enumerate(pictures[:8]):
        picture.save(root / f"part/train/good/{i}.png")
        picture.save(root / f"part/train/good/{i}_again{suffix}")
    for place in ("test/good", "test/dent"):
        pictures[8].save(root / f"part/{place}/0.png")


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
@pytest.mark.parametrize("seed", range(4))
def test_twins_are_put_on_one_side_and_told(tmp_path: Path, suffix: str, seed: int):
    write(tmp_path, suffix)
    config = compose(
        [
            *("dataset=mvtec", f"dataset.root={tmp_path}", "category=part"),
            *("dataset.validation_fraction=0.25", f"dataset.subset_seed={seed}"),
        ]
    )
    table = read_table(config)
    paths = [sample.path for sample in table.samples]
    hashes = contents([tmp_path / path for path in paths], workers=2)
    content = dict(zip(paths, hashes, strict=True))
    trained, held = ({content[s.path] for s in part} for part in (table.train, table.validation))
    assert len(table.validation) == 4 and len(held) == 2 and not trained & held
    assert len(table.twins) == 8
    (line,) = [note for note in notes_by_name(table) if "stored again" in note]
    assert line.startswith("8 normal images are stored again") and "0.png" in line


def test_a_test_image_that_was_trained_on_is_known_in_another_format(tmp_path: Path):
    write(tmp_path, ".png")
    config = compose(["dataset=mvtec", f"dataset.root={tmp_path}", "category=part"])
    table = read_table(config)
    assert seen_in_training(table, table.test) == seen_in_training(table, ()) == []
    Image.open(tmp_path / "part/train/good/3.png").save(tmp_path / "part/test/good/other.bmp")
    table = read_table(config)
    assert seen_in_training(table, table.test, workers=2) == ["part/test/good/other.bmp"]


def test_what_cannot_be_read_has_no_twin(tmp_path: Path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")
    first, second, third = contents([tmp_path / n for n in ("a.png", "b.png", "c")], workers=1)
    assert len({first, second, third}) == 3


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
@pytest.mark.parametrize("seed", range(4))
def test_twins_are_on_one_side_of_a_test_set_that_is_drawn(tmp_path: Path, suffix: str, seed: int):
    write(tmp_path, suffix)
    (tmp_path / "part/train/good").rename(tmp_path / "good")
    (tmp_path / "part/test/dent").rename(tmp_path / "dent")
    config = compose(
        [
            *("dataset=folder", f"dataset.root={tmp_path}", "dataset.defects=[dent]"),
            *("dataset.test_fraction=0.25", f"dataset.subset_seed={seed}"),
            *("dataset.normal=[good]", f"category={tmp_path.name}"),
        ]
    )
    table = read_table(config)
    tested = {Path(s.path).stem for s in table.test if not s.label}
    trained = {Path(s.path).stem for s in table.train}
    assert tested and trained and len(tested) + len(trained) == 16
    assert {stem.removesuffix("_again") for stem in tested}.isdisjoint(
        stem.removesuffix("_again") for stem in trained
    )
    assert table.twins and any(
        "one side of training, validation" in n for n in notes_by_name(table)
    )


def sample(path: str, split: str, group: str | None = None) -> Sample:
    return Sample(path=path, split=split, label=0, defect="good", group=group)


def test_what_moves_takes_its_group_and_its_twins_along(tmp_path: Path):
    samples = (
        *(sample("a", "test", "1"), sample("b", "train", "2"), sample("c", "train", "2")),
        *(sample("d", "train", "3"), sample("e", "train", "4")),
    )
    table = SampleTable(root=tmp_path, category="x", samples=samples, drawn=True)
    content = {"a": "one", "b": "one", "c": "two", "d": "two", "e": "three"}
    together = keep_together(table, content)
    assert [s.path for s in together.train] == ["e"] and len(together.test) == 4
    assert together.twins == (("a", "b"), ("c", "d"))
    assert keep_together(table, {name: name for name in content}) is table
    with pytest.raises(UserError, match="every training image of 'x' is stored again"):
        keep_together(table, content | {"e": "two"})
