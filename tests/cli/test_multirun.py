"""What a multirun makes of launchers that stop before their jobs are done."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode

from cfa_lab.cli.multirun import multirun
from cfa_lab.cli.schema import VERSION_BASE
from cfa_lab.config import Config, conf_dir
from cfa_lab.errors import UserError


class Stopping(Launcher):
    """Leaves the first job's record and stops, as if a worker had been killed."""

    def __init__(self, first: Path, record: dict) -> None:
        self.first, self.record = first, record

    def setup(self, **_: object) -> None: ...

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        self.first.mkdir(parents=True)
        (self.first / "metrics.json").write_text(json.dumps(self.record))
        raise RuntimeError("a worker was killed")


def test_a_launcher_that_stops_fails_only_the_jobs_that_left_nothing(tmp_path: Path, capsys):
    ConfigStore.instance().store(name="schema", node=Config)
    combinations = [["seed=0"], ["seed=1"]]
    arguments = ["seed=0,1", f"hydra.sweep.dir={tmp_path / 'study'}", "hydra/launcher=other"]
    (tmp_path / "conf" / "hydra" / "launcher").mkdir(parents=True)
    (tmp_path / "conf" / "hydra" / "launcher" / "other.yaml").write_text("_target_: Stopping\n")
    arguments.append(f"hydra.searchpath=[file://{tmp_path / 'conf'}]")
    with initialize_config_dir(**VERSION_BASE, config_dir=str(conf_dir())):
        from cfa_lab.cli.jobs import make_jobs

        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", arguments, run_mode=RunMode.MULTIRUN)
        config = asdict(make_jobs(combinations, master, loader)[0].config) | {"device": "cuda:1"}
        metrics = {"test/image_auroc": 0.75}
        record = {"status": "complete", "run_key": "a", "config": config, "metrics": metrics}
        launcher = Stopping(tmp_path / "study" / "0-wide_resnet50-bottle-s0", record)
        with pytest.raises(UserError, match="1 of 2 jobs failed"):
            multirun(combinations, master, loader, launcher, list_only=False)
    captured = capsys.readouterr()
    assert "0.7500 (1)" in captured.out
    assert "2 jobs: 1 computed, 1 failed" in captured.out
    assert "failed: job 1, seed=1: RuntimeError: a worker was killed" in captured.err
