"""An id of a W&B run from outside is for one run folder."""

import json
import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cfa_lab.cli.arguments import release_outside_id
from cfa_lab.run.trackers import make_tracker
from cfa_lab.tracking import WandbTracker, claim_id


def test_an_id_belongs_to_the_folder_that_took_it_first(tmp_path: Path):
    register = tmp_path / "ids"
    assert claim_id("abc", tmp_path / "a", register)
    assert not claim_id("abc", tmp_path / "b", register)
    assert claim_id("abc", tmp_path / "a", register)
    assert claim_id("xyz", tmp_path / "b", register)


def test_a_register_that_cannot_be_written_refuses_nobody(tmp_path: Path):
    (tmp_path / "ids").touch()
    assert claim_id("abc", tmp_path / "a", tmp_path / "ids")
    assert claim_id("abc", tmp_path / "b", tmp_path / "ids")


def test_a_second_run_with_an_id_left_over_gets_one_of_its_own(
    tiny_config, tmp_path: Path, monkeypatch, caplog
):
    monkeypatch.setenv("WANDB_RUN_ID", "left0ver")
    config = tiny_config("tracker=wandb", f"features.folder={tmp_path / 'store'}")
    found = [make_tracker(config, tmp_path / name) for name in ("a", "b", "a")]
    ids = [tracker.run_id for tracker in found if isinstance(tracker, WandbTracker)]
    assert ids[0] == ids[2] == "left0ver" and ids[1] not in ("left0ver", None)
    assert [m for m in caplog.messages if "WANDB_RUN_ID=left0ver was used by another run" in m]


def a_run(folder: Path, status: str, *overrides: str) -> None:
    (folder / ".hydra").mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"status": status}))
    (folder / ".hydra/overrides.yaml").write_text(OmegaConf.to_yaml([*overrides]))


@pytest.mark.parametrize(
    ("arguments", "run_id", "reason"),
    [
        (["seed=1"], "new", None),
        (["seed=1"], "complete", "outputs/complete holds another run"),
        (["seed=1"], "begun", None),
        (["resume=auto", "seed=1", "hydra.verbose=true"], "begun", None),
        (["seed=2"], "begun", "outputs/begun holds another run"),
        (["seed=1", "hydra.run.dir=here"], "complete", None),
        (["-m", "seed=1,2"], "new", "jobs of a multirun do not share an id"),
        (["seed=1"], "", "it is no id of a run"),
        (["seed=1"], "../up", "it is no id of a run"),
        (["seed=1"], "..", "it is no id of a run"),
    ],
)
def test_an_id_that_cannot_be_meant_for_a_command_is_released(
    tmp_path: Path, monkeypatch, arguments: list[str], run_id: str, reason: str | None
):
    monkeypatch.chdir(tmp_path)
    a_run(tmp_path / "outputs/complete", "complete", "seed=1")
    a_run(tmp_path / "outputs/begun", "failed", "seed=1")
    monkeypatch.setenv("WANDB_RUN_ID", run_id)
    told = release_outside_id(arguments)
    assert (told and told.partition("is not used: ")[2].partition(";")[0]) == reason
    assert ("WANDB_RUN_ID" in os.environ) == (reason is None)
