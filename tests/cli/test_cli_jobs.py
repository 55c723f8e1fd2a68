"""From a multirun's command line to its jobs, as Hydra itself would compose them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode

from cfa_lab.cli import task
from cfa_lab.cli.jobs import Job, make_jobs, task_part
from cfa_lab.config import Config, conf_dir
from cfa_lab.errors import UserError


@pytest.fixture(autouse=True)
def hydra_context() -> Iterator[None]:
    ConfigStore.instance().store(name="schema", node=Config)
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        yield


def jobs_of(*arguments: str) -> list[Job]:
    loader = GlobalHydra.instance().config_loader()
    master = loader.load_configuration("config", list(arguments), run_mode=RunMode.MULTIRUN)
    return make_jobs(list(arguments), master, loader)


def test_jobs_are_every_combination_as_hydra_composes_it():
    jobs = jobs_of(
        "backbone=resnet18,wide_resnet50",
        "loss.K=1,3",
        "preset=paper",
        "image.crop=null,128",
        "category='a b',c",
        "tracker.tags=[x,y]",
    )
    assert len(jobs) == 16
    loader = GlobalHydra.instance().config_loader()
    for job in jobs:
        literal = loader.load_sweep_config(job.composed, job.arguments)
        assert task_part(literal) == task_part(job.composed)
    assert [job.config.loss.K for job in jobs[:5]] == [1, 1, 1, 1, 3]
    assert [job.config.category for job in jobs[:2]] == ["a b", "c"]
    assert jobs[0].config.memory_bank.kind == "ema"
    assert jobs[0].subdir == "0-resnet18-a b-s0"
    assert jobs[0].arguments[-1] == "hydra.sweep.subdir='0-resnet18-a b-s0'"
    assert jobs[15].settings["backbone"] == "wide_resnet50"


def test_all_is_every_category_of_each_data_set(tmp_path: Path):
    from tiny import write_tiny

    for category in ("one/x", "one/y", "two/z z"):
        write_tiny(tmp_path / category)
    root = f"dataset.root={tmp_path}/one,{tmp_path}/two"
    jobs = jobs_of("category=all", root, "seed=0,1")
    assert sorted((job.config.category, job.config.seed) for job in jobs) == [
        *(("x", 0), ("x", 1), ("y", 0), ("y", 1), ("z z", 0), ("z z", 1))
    ]
    assert len({job.subdir for job in jobs}) == 6


@pytest.mark.parametrize("override", ["loss.K=x", "loss.KK=1,2", "backbone=resnet81,resnet18"])
def test_what_hydra_refuses_is_refused_before_any_job(override: str):
    with pytest.raises(HydraException):
        jobs_of(override, "seed=0,1")


def test_settings_out_of_bounds_and_endless_sweeps_are_refused_before_any_job():
    with pytest.raises(UserError, match=r"loss\.K is 0"):
        jobs_of("loss.K=0,1")
    with pytest.raises(UserError, match="hydra/sweeper=search"):
        jobs_of("loss.alpha=interval(0,1)")


EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_job_of_an_experiment_composes(experiment: str):
    loader = GlobalHydra.instance().config_loader()
    arguments = [f"experiment={experiment}", "dataset.layout=mvtec"]
    master = loader.load_configuration("config", arguments, run_mode=RunMode.MULTIRUN)
    params = master.hydra.sweeper.params or {}
    sweep = [f"{key}={value}" for key, value in params.items() if value != "all"]
    jobs = make_jobs([*sweep, *arguments], master, loader)
    assert master.hydra.mode == (RunMode.MULTIRUN if params else None)
    assert {"toy_ablation": 12, "paper_table2": 15, "quickstart": 1}.get(experiment, len(jobs)) == (
        len(jobs)
    )
    if experiment == "paper_table2":
        assert {job.config.preset for job in jobs} == {"official"}
        assert len({job.config.category for job in jobs}) == 15


@pytest.mark.parametrize(
    "choice, plugin",
    [
        ("hydra/launcher=parallel", "hydra_plugins.hydra_joblib_launcher"),
        ("hydra/launcher=local", "hydra_plugins.hydra_submitit_launcher"),
        ("hydra/launcher=slurm", "hydra_plugins.hydra_submitit_launcher"),
        ("hydra/launcher=ray_local", "hydra_plugins.hydra_ray_launcher"),
        ("hydra/sweeper=search", "hydra_plugins.hydra_optuna_sweeper"),
    ],
)
def test_launchers_and_the_search_compose(choice: str, plugin: str):
    pytest.importorskip(plugin, reason="needs the extra of this launcher or sweeper")
    loader = GlobalHydra.instance().config_loader()
    master = loader.load_configuration("config", [choice], run_mode=RunMode.MULTIRUN)
    group = choice.split("=")[0].split("/")[1]
    assert plugin in master.hydra[group]._target_


def test_jobs_take_the_gpus_in_turn_unless_one_is_named(monkeypatch):
    def device(number: int, name: str = "auto") -> str:
        (job,) = jobs_of(f"device={name}")
        return task.on_its_gpu(job.config, number).device

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device(number) for number in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert device(1, "cuda:0") == "cuda:0"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device(1) == "auto"
