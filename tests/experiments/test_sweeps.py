"""The sweep files: what they try composes, and what they search on is not what they report on."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.tiny import compose

from cfa_lab.config import Config
from cfa_lab.tracking import COLUMNS, comparable

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
MVTEC = """
bottle, cable, capsule, carpet, grid, hazelnut, leather, metal_nut, pill, screw, tile, toothbrush,
transistor, wood, zipper
"""

pytestmark = pytest.mark.skipif(not SWEEPS, reason="the sweep files are not beside the tests")


def values(entry: dict[str, Any]) -> list[Any]:
    """What a parameter may be: all that is listed, or the ends of its range."""
    if "values" in entry:
        return entry["values"]
    return [entry["value"]] if "value" in entry else [entry["min"], entry["max"]]


def fixed(sweep: dict[str, Any]) -> list[str]:
    """The settings that every run of the sweep gets."""
    return [part for part in sweep["command"] if "=" in part]


def composed(sweep: dict[str, Any], **parameters: Any) -> Config:
    """What the command line makes of the sweep's arguments, written as the agent writes them."""
    given = [f"{key}={value}" for key, value in parameters.items()]
    return compose(*fixed(sweep), *given)


@pytest.fixture(params=SWEEPS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    monkeypatch.setenv("WANDB_RUN_ID", "xyz")
    return request.param


@pytest.fixture
def sweep(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_grid_random_and_bayes_are_there():
    methods = {yaml.safe_load(path.read_text(encoding="utf-8"))["method"] for path in SWEEPS}
    assert methods == {"grid", "random", "bayes"}


def test_every_value_composes(sweep: dict[str, Any]):
    for key, entry in sweep["parameters"].items():
        for value in values(entry):
            composed(sweep, **{key: value})


def test_keys_are_plain_overrides(sweep: dict[str, Any]):
    """The agent writes `str(value)`: a nested parameter or a None would not survive that."""
    for key, entry in sweep["parameters"].items():
        assert "parameters" not in entry, key
        for value in values(entry):
            assert isinstance(value, (int, float, str)) and "=" not in str(value), key


def test_runs_go_online_as_one_study_and_each_in_its_own_folder(path: Path, sweep: dict[str, Any]):
    config = composed(sweep)
    assert (config.tracker.mode, config.tracker.group) == ("online", path.stem)
    assert config.tracker.project == sweep["project"]
    assert "-m" not in sweep["command"][sweep["command"].index("cfa_lab") :]
    (folder,) = (part for part in sweep["command"] if part.startswith("hydra.run.dir="))
    assert "WANDB_SWEEP_ID" in folder and "WANDB_RUN_ID" in folder
    assert sweep["command"][-1] == "${args_no_hyphens}"


def test_the_goal_is_a_metric_that_runs_report(sweep: dict[str, Any]):
    assert sweep["metric"] == {"name": "test/image_auroc", "goal": "maximize"}


def test_the_head_says_which_categories_are_searched_and_which_are_kept(
    path: Path, sweep: dict[str, Any]
):
    head = path.read_text(encoding="utf-8").partition("\nproject:")[0]
    text = re.sub(r"\n#\s*", " ", head)
    searched, kept = (
        re.split(r",\s*", found[1])
        for name in ("Searched on", "Kept for reporting")
        if (found := re.search(rf"{name}: ((?:\w+,\s+)*\w+)", text))
    )
    swept = sweep["parameters"].get("category")
    assert searched == (values(swept) if swept else [composed(sweep).category])
    assert not set(searched) & set(kept)
    assert sorted(searched + kept) == re.findall(r"\w+", MVTEC)
    reported = re.search(r" -m \\ category=(\S+)", text)
    assert reported and reported[1].split(",") == kept
    assert f"wandb sweep sweeps/{path.name}" in head


def test_sweeps_and_their_flat_columns_agree(sweep: dict[str, Any]):
    """A key of a sweep that is also a column on W&B holds there what the run would put there."""
    for key, entry in sweep["parameters"].items():
        if key in COLUMNS:
            for value in values(entry):
                told = comparable(asdict(composed(sweep, **{key: value})))
                assert told[key] == value
