"""A model whose network is not timm's: loaded where its code is trusted, with the run's scores."""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.packages import installed
from helpers.tiny import TINY_RUN, compose

from cfa_lab import load
from cfa_lab.deploy.arguments import add_model, open_model
from cfa_lab.errors import UserError
from cfa_lab.features.own import code_hash
from cfa_lab.run.run import run

NET = """
from torch import nn


class Stem(nn.Module):
    def __init__(self, pretrained):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 8, stride=8)

    def forward(self, x):
        return {"stem": self.stem(x)}
"""


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    with installed(tmp_path / "package", "stem-net", {"stem_net": NET}):
        yield tmp_path / "package" / "stem_net.py"
    code_hash.cache_clear()


@pytest.fixture
def own_run(tiny_root: Path, tmp_path: Path, package: Path) -> Path:
    own = ["backbone=custom", "backbone.name=stem", "backbone.model=stem_net:Stem"]
    usual = [a for a in TINY_RUN if not a.startswith("backbone=")]
    more = ["backbone.layers=[stem]", f"dataset.root={tiny_root}"]
    run(compose(*usual, *own, *more), tmp_path / "run")
    return tmp_path / "run"


def test_its_code_runs_only_where_it_is_trusted(own_run: Path, tiny_root: Path, caplog):
    with pytest.raises(UserError, match=r"stem_net:Stem, code of another .*--trust-code, or trust"):
        load(own_run)
    with (own_run / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    paths = [tiny_root / row["path"] for row in rows]
    found = load(own_run, trust_code=True).predict(paths)
    assert found.scores.tolist() == [float(row["score"]) for row in rows]
    parser = argparse.ArgumentParser()
    add_model(parser)
    with pytest.raises(UserError, match="code of another package"):
        open_model(parser.parse_args([str(own_run)]))
    open_model(parser.parse_args([str(own_run), "--trust-code"]))
    assert not caplog.records


def test_code_that_has_changed_since_is_told(own_run: Path, package: Path, caplog):
    package.write_text(NET + "\n")
    code_hash.cache_clear()
    load(own_run, trust_code=True)
    assert "the code of stem_net:Stem has changed since the run" in caplog.text
