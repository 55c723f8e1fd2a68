"""What docs/extending.md shows works: its files are written, its commands run on tiny images."""

import json
import re
import shlex
from pathlib import Path

import pytest
from helpers.packages import installed
from helpers.tiny import TINY_RUN, compose, write_tiny

from cfa_lab.run.run import run

DOCUMENT = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
MODULES = dict(re.findall(r"```python\n# (\w+)\.py.*?\n(.*?)```", DOCUMENT, flags=re.DOTALL))
COMMANDS = re.findall(r"```\npython -m cfa_lab (.*?)\n```", DOCUMENT, flags=re.DOTALL)
POINTS = re.findall(r'\[project\.entry-points\."([\w.]+)"\]\n(\w+) = "(.+?)"', DOCUMENT)


@pytest.fixture
def lots(tmp_path: Path) -> Path:
    """The tiny data set as the page's layout has it."""
    write_tiny(tmp_path / "tiny")
    category = tmp_path / "lots" / "bolts"
    (category / "masks").mkdir(parents=True)
    for place, kind in (("train/good", "train"), ("test/good", "ok"), ("test/spot", "scratch")):
        for path in (tmp_path / "tiny" / place).iterdir():
            path.rename(category / f"{kind}_{path.name}")
    for path in (tmp_path / "tiny" / "ground_truth" / "spot").iterdir():
        path.rename(category / "masks" / f"scratch_{path.name.replace('_mask', '')}")
    return tmp_path / "lots"


def record_of(command: str, tmp_path: Path, *more: str) -> dict:
    """The record of a run by the page's command, with tiny settings where it has none."""
    arguments = shlex.split(command)
    given = {argument.partition("=")[0] for argument in (*arguments, *more)}
    usual = [a for a in TINY_RUN if a.partition("=")[0] not in given]
    points = {group: {name: value} for group, name, value in POINTS}
    with installed(tmp_path / "package", "my-package", MODULES, points):
        run(compose(*usual, *arguments, *more), tmp_path / "run")
    return json.loads((tmp_path / "run" / "metrics.json").read_text())


def test_the_network(tiny_root: Path, tmp_path: Path):
    (command,) = [c for c in COMMANDS if "backbone=custom" in c]
    more = ["backbone.weights=random", f"dataset.root={tiny_root}"]
    record = record_of(command, tmp_path, *more)
    assert record["status"] == "complete" and record["metrics"]["test/pixel_auroc"] is not None
    assert record["config"]["backbone"]["model"] == "my_nets:mobilenet"
    model = json.loads((tmp_path / "run" / "model.json").read_text())
    assert model["channels"] == [24, 40, 112]


def test_the_layout(lots: Path, tmp_path: Path):
    (command,) = [c for c in COMMANDS if "dataset.layout=lots" in c]
    record = record_of(command, tmp_path, f"dataset.root={lots}")
    assert record["protocol"]["layout"] == "lots"
    assert (record["protocol"]["num_train"], record["protocol"]["num_test_defect"]) == (5, 3)
    assert record["metrics"]["test/pixel_auroc"] is not None
