"""`wandb sweep` and `wandb agent` with a sweep file as it is, real runs, and a stand-in server."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.fake_wandb import FakeWandb
from helpers.tiny import write_tiny

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
SMALL = (
    "backbone=resnet18 backbone.weights=random image.height=64 image.width=64 trainer.epochs=2"
    " trainer.batch_size=2 trainer.num_threads=1 evaluation.resamples=0"
)

pytestmark = [
    pytest.mark.slow,  # an agent looks for its jobs every five seconds
    pytest.mark.skipif(not SWEEPS, reason="the sweep files are not beside the tests"),
]


@pytest.fixture
def python_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sweep file's `python` finds: this interpreter, and smaller settings at the end."""
    script = tmp_path / "bin" / "python"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} "$@" {SMALL}\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny images of two good categories, and of one with a test image that cannot be read."""
    root = tmp_path / "data" / "mvtec"
    write_tiny(root / "cable")
    shutil.copytree(root / "cable", root / "capsule")
    shutil.copytree(root / "cable", root / "screw")
    (root / "screw" / "test" / "good" / "000.png").write_bytes(b"no image")
    monkeypatch.setenv("CFA_LAB_DATA", str(root.parent))


def wandb(*arguments: str) -> str:
    """What the command `wandb` says."""
    return subprocess.run(
        [sys.executable, "-m", "wandb", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=True,
    ).stdout


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_wandb_takes_the_file_as_it_is(server: FakeWandb, path: Path):
    said = wandb("sweep", str(path))
    assert "wandb agent lab/cfa-lab/sweep0" in said
    ours, theirs = yaml.safe_load(path.read_text()), server.sweeps["sweep0"].config
    for key in ("name", "method", "metric", "command"):
        assert theirs[key] == ours[key]
    for key, entry in ours["parameters"].items():
        assert theirs["parameters"][key].items() >= entry.items()


@pytest.mark.usefixtures("python_on_path", "data")
def test_an_agent_runs_the_jobs_of_a_sweep_and_a_failing_one_shows_as_failed(
    server: FakeWandb, tmp_path: Path
):
    (path,) = (path for path in SWEEPS if path.stem == "loss_grid")
    wandb("sweep", str(path))
    ((name, sweep),) = server.sweeps.items()
    assert len(sweep.waiting) == 144
    of = {settings["category"]: settings for settings in reversed(sweep.waiting)}
    jobs = {"cable": 0, "screw": 1, "grid": 1, "capsule": 0}  # there is no data for grid
    sweep.waiting = [of[category] for category in jobs]

    wandb("agent", f"lab/cfa-lab/{name}")
    runs = [server.runs[run_id] for run_id in sweep.run_ids]
    assert [run.exit_code for run in runs] == list(jobs.values())
    for run, run_id, category in zip(runs, sweep.run_ids, jobs, strict=True):
        assert run.details["groupName"] == "loss_grid"
        assert run.config["category"]["value"] == category
        folder = tmp_path / "outputs" / "sweeps" / name / run_id
        assert folder.exists() == (category != "grid")
        if category in ("cable", "capsule"):
            record = json.loads((folder / "metrics.json").read_text())
            assert run.config["K"]["value"] == record["config"]["loss"]["K"] == 1
            assert run.summary["test/image_auroc"] == record["metrics"]["test/image_auroc"]
        if category == "screw":
            assert "000.png" in json.loads((folder / "metrics.json").read_text())["error"]
