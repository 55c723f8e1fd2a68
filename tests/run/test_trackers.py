from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.fake_wandb import API_KEY, fake_wandb

from cfa_lab.config import Config
from cfa_lab.errors import UserError
from cfa_lab.run.run import run
from cfa_lab.run.trackers import make_tracker, multirun_name
from cfa_lab.tracking import Tracker

Configure = Callable[..., Config]


def test_none_listens_to_nothing(tiny_config: Configure, tmp_path: Path):
    assert type(make_tracker(tiny_config(), tmp_path)) is Tracker


def test_the_jobs_of_a_multirun_share_its_name(tmp_path: Path):
    folder = tmp_path / "2026-01-31" / "10-00-00" / "0-net-bottle-s0"
    folder.mkdir(parents=True)
    assert multirun_name(folder) is None
    (folder.parent / "multirun.yaml").touch()
    assert multirun_name(folder) == "2026-01-31_10-00-00"


@pytest.mark.parametrize("in_sweep", [True, False])
def test_a_mistake_before_training_shows_in_the_sweep_that_asked_for_the_run(
    tiny_config: Configure, tmp_path: Path, monkeypatch, in_sweep: bool
):
    config = tiny_config("tracker=wandb", "category=missing")
    folder = tmp_path / "run"
    for name, value in {
        "HOME": str(tmp_path),
        "WANDB_MODE": "online",
        "WANDB_API_KEY": API_KEY,
        "WANDB_RUN_ID": "swept",
        **({"WANDB_SWEEP_ID": "sweep"} if in_sweep else {}),
    }.items():
        monkeypatch.setenv(name, value)
    with fake_wandb() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        with pytest.raises(UserError, match="missing"):
            run(config, folder)
    told = {run_id: arrived.exit_code for run_id, arrived in server.runs.items()}
    assert told == ({"swept": 1} if in_sweep else {})
    assert not folder.exists()
