"""Images stored more than once never lie on both sides of training and validation."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cfa_lab.cli import compose
from cfa_lab.data.doubts import notes_by_name
from cfa_lab.data.twins import contents
from cfa_lab.run.tables import read_table


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
    assert line.startswith("8 training images are stored again") and "0.png" in line


def test_what_cannot_be_read_has_no_twin(tmp_path: Path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")
    first, second, third = contents([tmp_path / n for n in ("a.png", "b.png", "c")], workers=1)
    assert len({first, second, third}) == 3
