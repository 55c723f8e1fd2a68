"""The images of a run, found again by what its folder says."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.tiny import TINY_RUN, compose, write_tiny

from cfa_lab.errors import UserError
from cfa_lab.records.predictions import read_predictions
from cfa_lab.run.recorded import recorded_table
from cfa_lab.run.run import run
from cfa_lab.run.tables import read_table


@pytest.fixture(scope="module")
def finished(tiny_root, tmp_path_factory):
    """A run's folder and its configuration."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    more = ["dataset.validation_fraction=0.4", "dataset.limit_train=4"]
    config = compose(*TINY_RUN, f"dataset.root={tiny_root}", *more)
    run(config, folder)
    return folder, config


def changed(folder: Path, copy: Path, **values) -> Path:
    """A copy of a run whose record has other settings of the data set."""
    shutil.copytree(folder, copy)
    record = json.loads((copy / "metrics.json").read_text())
    record["config"]["dataset"] |= values
    (copy / "metrics.json").write_text(json.dumps(record))
    return copy


def test_the_images_are_those_of_the_run(finished):
    folder, config = finished
    table = recorded_table(folder)
    assert table == read_table(config)
    assert (len(table.train), len(table.validation), len(table.test)) == (2, 2, 6)
    assert [s.path for s in table.test] == [row["path"] for row in read_predictions(folder)]


def test_a_relative_root_is_one_from_where_the_run_was_started(finished, tmp_path, monkeypatch):
    folder = changed(finished[0], tmp_path / "run", root="data")
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "hydra.yaml").write_text(f"hydra: {{runtime: {{cwd: {tmp_path}/a}}}}")
    for place in ("a", "b"):
        write_tiny(tmp_path / place / "data" / "square")
    monkeypatch.chdir(tmp_path / "b")
    assert recorded_table(folder).root == tmp_path / "a" / "data"
    shutil.rmtree(tmp_path / "a")
    assert recorded_table(folder).root == tmp_path / "b" / "data"
    shutil.rmtree(folder / ".hydra")
    assert recorded_table(folder).root == tmp_path / "b" / "data"


@pytest.mark.parametrize("layout", ["toy", "rd_mvtec", "mvtec"])
def test_what_is_gone_is_told_and_never_made(finished, tmp_path, layout):
    values = {"root": str(tmp_path / "gone"), "made": str(tmp_path / "made"), "layout": layout}
    folder = changed(finished[0], tmp_path / "run", **values)
    with pytest.raises(UserError, match="is not there any more"):
        recorded_table(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_turned_images_are_found_where_they_were_made(finished, tmp_path):
    write_tiny(tmp_path / "made" / "seed7" / "square")
    values = {"layout": "rd_mvtec", "made": str(tmp_path / "made"), "draw_seed": 7}
    folder = changed(finished[0], tmp_path / "run", **values)
    assert recorded_table(folder).root == tmp_path / "made" / "seed7"


def test_no_record_and_one_of_another_version_are_told(finished, tmp_path):
    with pytest.raises(UserError, match="has no record of its data set"):
        recorded_table(tmp_path)
    folder = changed(finished[0], tmp_path / "run", colour="red")
    with pytest.raises(UserError, match="is of another version"):
        recorded_table(folder)


def test_a_record_of_before_there_was_a_key_is_read_and_one_without_the_first_is_not(
    finished, tmp_path
):
    """Keys come with every version; what a run was trained on does not change by that."""
    folder = changed(finished[0], tmp_path / "run")
    record = json.loads((folder / "metrics.json").read_text())
    for group, key in (("memory_bank", "gamma_c"), ("evaluation", "folds"), ("dataset", "images")):
        del record["config"][group][key]
    (folder / "metrics.json").write_text(json.dumps(record))
    assert recorded_table(folder) == recorded_table(finished[0])
    del record["config"]["backbone"]["model"]
    (folder / "metrics.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="is of another version"):
        recorded_table(folder)
