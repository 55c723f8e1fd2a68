"""From a multirun's command line to its jobs, as Hydra itself would compose them."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from cfa_lab.cli import task
from cfa_lab.cli.combinations import combine
from cfa_lab.cli.composer import Job, task_part
from cfa_lab.cli.jobs import make_jobs
from cfa_lab.cli.schema import VERSION_BASE, to_config
from cfa_lab.cli.task import link_latest
from cfa_lab.config import Config, conf_dir
from cfa_lab.errors import UserError


@pytest.fixture(autouse=True)
def hydra_context() -> Iterator[None]:
    ConfigStore.instance().store(name="schema", node=Config)
    with initialize_config_dir(**VERSION_BASE, config_dir=str(conf_dir())):
        yield


def jobs_of(*arguments: str, params: dict[str, str] | None = None, cases: Any = None) -> list[Job]:
    loader = GlobalHydra.instance().config_loader()
    master = loader.load_configuration("config", list(arguments), run_mode=RunMode.MULTIRUN)
    return make_jobs(combine(arguments, params or {}, cases, loader), master, loader)


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
        composed = job.compose()
        literal = loader.load_sweep_config(composed, job.arguments)
        assert task_part(literal) == task_part(composed)
        assert to_config(task_part(composed)) == job.config
        assert composed.hydra.sweep.subdir == job.subdir
    assert [job.config.loss.K for job in jobs[:5]] == [1, 1, 1, 1, 3]
    assert [job.config.category for job in jobs[:2]] == ["a b", "c"]
    assert jobs[0].config.memory_bank.kind == "ema"
    assert jobs[0].subdir == "0-resnet18-a b-s0"
    assert jobs[0].arguments[-1] == "hydra.sweep.subdir='0-resnet18-a b-s0'"
    assert jobs[15].settings["backbone"] == "wide_resnet50"


def test_all_is_every_category_of_each_data_set(tmp_path: Path):
    from helpers.tiny import write_tiny

    for category in ("one/x", "one/y", "two/z z"):
        write_tiny(tmp_path / category)
    root = f"dataset.root={tmp_path}/one,{tmp_path}/two"
    jobs = jobs_of("category=all", root, "seed=0,1")
    assert sorted((job.config.category, job.config.seed) for job in jobs) == [
        *(("x", 0), ("x", 1), ("y", 0), ("y", 1), ("z z", 0), ("z z", 1))
    ]
    assert len({job.subdir for job in jobs}) == 6


ADAPTATION = {
    "adaptation": [
        "trainer.epochs=0 descriptor.init=identity descriptor.coordinates=false",
        "loss.J=0,3",
        "",
    ]
}


def test_cases_are_crossed_with_each_other_and_with_params():
    cases = {"data": ["category=a dataset.limit_train=32", "category=b,'c d'"], **ADAPTATION}
    jobs = jobs_of("loss.K=5", params={"seed": "0,1"}, cases=cases)
    assert len(jobs) == 2 * 3 * 4
    found = [(job.config.seed, job.config.category, job.config.loss.J) for job in jobs]
    assert found[:5] == [(0, "a", 3), (0, "a", 0), (0, "a", 3), (0, "a", 3), (0, "b", 3)]
    assert found[12][0] == 1
    assert {job.config.loss.K for job in jobs} == {5}
    first = jobs[0].config
    assert (first.trainer.epochs, first.dataset.limit_train) == (0, 32)
    assert (first.descriptor.init, first.descriptor.coordinates) == ("identity", False)
    assert (jobs[4].config.dataset.limit_train, jobs[1].config.trainer.epochs) == (None, 30)
    assert "loss.J" not in jobs[3].settings


def test_a_case_may_choose_groups_and_presets_as_hydra_would():
    jobs = jobs_of(cases={"method": ["preset=official backbone=resnet18", "preset=lab loss.r=0.1"]})
    assert [job.config.backbone.name for job in jobs] == ["resnet18", "wide_resnet50"]
    assert [job.config.image.crop for job in jobs] == [224, None]
    assert [job.config.loss.r for job in jobs] == [1e-5, 0.1]


def test_what_is_typed_wins_over_a_case_and_equal_combinations_are_made_once():
    jobs = jobs_of("preset=official", "trainer.epochs=2", "loss.J=1", cases=ADAPTATION)
    assert [job.config.trainer.epochs for job in jobs] == [2, 2]
    assert [job.config.descriptor.init for job in jobs] == ["identity", "default"]
    both = {"a": ["loss.J=1"], "b": ["loss.J=2 loss.K=1"]}
    jobs = jobs_of("loss.J=0", "seed=0,1", params={"seed": "5"}, cases=both)
    assert [(job.config.seed, job.config.loss.J) for job in jobs] == [(0, 0), (1, 0)]


def test_all_in_a_case_is_each_category_of_its_data_set(tmp_path: Path):
    from helpers.tiny import write_tiny

    for category in ("one/x", "one/y", "two/z"):
        write_tiny(tmp_path / category)
    chosen = (("one", "all"), ("two", "z"), ("one", "y"))
    data = [f"dataset.root={tmp_path}/{root} category={category}" for root, category in chosen]
    jobs = jobs_of(cases={"data": data, "J": ["loss.J=0,3"]})
    found = [(job.config.category, job.config.loss.J) for job in jobs]
    assert found == [("x", 0), ("y", 0), ("x", 3), ("y", 3), ("z", 0), ("z", 3)]
    assert [job.subdir.partition("-")[0] for job in jobs] == [str(i) for i in range(6)]


@pytest.mark.parametrize(
    "cases, message",
    [
        (["loss.J=0"], r"hydra\.sweeper\.cases is \['loss.J=0'\]"),
        ({"a": "loss.J=0"}, r"cases\.a is 'loss.J=0'; allowed: a list"),
        ({"a": []}, r"cases\.a is \[\]"),
        ({"a": [3]}, r"'3' is no setting"),
        ({"a": ["loss.J 0"]}, r"'loss.J' is no setting of a run; allowed: key=value"),
        ({"a": ["hydra.job.num=3"]}, "is no setting of a run"),
        ({"a": ["loss.J=0 loss.K=1 loss.J=1"]}, r"sets loss\.J twice"),
        (
            {"a": ["seed=1"]},
            r"seed is set by hydra\.sweeper\.params and by hydra\.sweeper\.cases\.a;",
        ),
        ({"a": ["loss.J=0"], "b": ["", "loss.J=1"]}, r"loss\.J is set by .*cases\.a and by .*\.b;"),
        ({"a": ["loss.J=interval(0,1)"]}, "hydra/sweeper=search"),
    ],
)
def test_cases_of_another_form_and_doubled_keys_are_refused(cases: Any, message: str):
    with pytest.raises(UserError, match=message):
        jobs_of(params={"seed": "0,1"}, cases=cases)


def test_no_job_has_what_only_the_one_before_was_asked_for():
    """Jobs of the same files share one configuration that is set anew for each of them."""
    tags = ["backbone.tags={v1:x}", "backbone.tags={v2:y} seed=2", "loss.J=0", "", "seed=3"]
    jobs = jobs_of(cases={"one": [*tags, "dataset.subset_seed=7", "seed=3 loss.K=1"]})
    found = [(job.config.seed, job.config.loss.J, job.config.dataset.subset_seed) for job in jobs]
    assert found == [(0, 3, 0), (2, 3, 0), (0, 0, 0), (0, 3, 0), (3, 3, 0), (0, 3, 7), (3, 3, 0)]
    usual = {"v1": "tv_in1k", "v2": "tv2_in1k"}
    tags = [job.config.backbone.tags for job in jobs]
    assert tags == [usual | {"v1": "x"}, usual | {"v2": "y"}, *[usual] * (len(jobs) - 2)]
    assert [job.subdir for job in jobs] == [job.compose().hydra.sweep.subdir for job in jobs]
    told = jobs[1].compose().hydra.overrides.task
    assert [*told] == ["backbone.tags={v2:y}", "seed=2"] and jobs[1].compose().seed == 2


def test_a_name_may_be_made_of_what_a_job_was_asked_for():
    pattern = "hydra.sweep.subdir='${hydra.overrides.task[0]}'"
    assert [job.subdir for job in jobs_of(pattern, "seed=1,2")] == ["seed=1", "seed=2"]


def test_an_unknown_key_in_a_case_is_refused_before_any_job():
    with pytest.raises(HydraException, match=r"loss\.KK"):
        jobs_of(cases={"a": ["loss.K=1", "loss.KK=2"]})


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
NUM_JOBS = {
    **{"toy_ablation": 12, "quickstart": 1, "mvtec_readme": 30},
    **{"paper_table2": 15, "paper_table3": 30, "paper_table5": 120, "paper_table6": 60},
    "paper_table7": 45,
}
"""With `category=all` counted once."""


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["seed=range(0,1000000000)"], "has more than 20000 values"),
        (
            [f"{key}=range(1,300)" for key in ("seed", "loss.K", "loss.J", "trainer.epochs")],
            r"299 x 299 x 299 x 299 = \d+ jobs; at most 20000",
        ),
    ],
)
def test_more_jobs_than_anybody_runs_are_refused_before_they_are_made(
    arguments: list[str], told: str
):
    began = time.process_time()
    with pytest.raises(UserError, match=told):
        jobs_of(*arguments)
    case = " ".join(f"{key}=range(1,300)" for key in ("seed", "loss.K", "loss.J"))
    with pytest.raises(UserError, match="at most 20000"):
        jobs_of(cases={"one": [case, case]})
    assert time.process_time() - began < 10


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_job_of_an_experiment_composes(experiment: str):
    loader = GlobalHydra.instance().config_loader()
    arguments = [f"experiment={experiment}", "dataset.layout=mvtec"]
    master = loader.load_configuration("config", arguments, run_mode=RunMode.MULTIRUN)
    sweeper: Any = OmegaConf.to_container(master.hydra.sweeper)
    params = {k: v for k, v in (sweeper["params"] or {}).items() if v != "all"}
    cases = {
        axis: [case.replace("category=all", "category=weave") for case in given]
        for axis, given in (sweeper["cases"] or {}).items()
    }
    jobs = make_jobs(combine(arguments, params, cases, loader), master, loader)
    assert master.hydra.mode == (RunMode.MULTIRUN if params or cases else None)
    assert len(jobs) == NUM_JOBS.get(experiment, len(jobs))
    if experiment in PAPER:
        assert len({job.config.category for job in jobs}) == 15
        assert {job.config.preset for job in jobs} == {PAPER[experiment]}


PAPER = dict.fromkeys((name for name in EXPERIMENTS if name.startswith("paper_")), "official")
PAPER["mvtec_readme"] = "lab"


@pytest.mark.parametrize("experiment", PAPER)
def test_the_commands_in_a_studys_head_are_the_ones_that_make_and_publish_it(experiment: str):
    path = conf_dir() / "experiment" / f"{experiment}.yaml"
    text = path.read_text(encoding="utf-8")
    assert f"#   CFA_LAB_DATA=/data python -m cfa_lab experiment={experiment}\n" in text
    (command,) = re.findall(r"# +python -m cfa_lab report (.*?)(?:\n|\\)", text)
    folder = OmegaConf.load(path).hydra.sweep.dir
    assert folder == f"multirun/{experiment}"
    assert command.split() == [
        *(folder, "--output", f"experiments/results/{experiment}", "--publish")
    ]


@pytest.mark.parametrize(
    "choice, plugin",
    [
        ("hydra/launcher=parallel", "hydra_plugins.cfa_lab_launchers"),
        ("hydra/launcher=slurm", "hydra_plugins.cfa_lab_launchers"),
        ("hydra/launcher=ray", "hydra_plugins.cfa_lab_launchers"),
        ("hydra/sweeper=search", "hydra_plugins.cfa_lab_search"),
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


def test_latest_leads_to_the_last_folder_and_spares_what_is_no_link(tmp_path: Path):
    for name in ("2026-01-01/10-00-00", "2026-01-02/10-00-00"):
        (tmp_path / name).mkdir(parents=True)
        link_latest(tmp_path, tmp_path / name)
        assert (tmp_path / "latest").resolve() == (tmp_path / name).resolve()
    assert not list(tmp_path.glob(".*")), "no partial link stays"
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").mkdir()
    link_latest(tmp_path, tmp_path / name)
    assert not (tmp_path / "latest").is_symlink()


def test_a_launcher_composes_the_very_jobs_that_hydra_would():
    from cfa_lab.cli.composer import Composer

    job = jobs_of("backbone=resnet18", "seed=1,2", "category='a b'", "tracker.tags=[x,y]")[1]
    loader = GlobalHydra.instance().config_loader()
    master = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
    composer = Composer(master, loader, plain=("hydra.sweep.subdir",))
    composed = composer.compose(job.arguments, 1)
    literal = loader.load_sweep_config(master, job.arguments)
    literal.hydra.job.num, literal.hydra.job.id = 1, "1"
    literal.hydra.job.override_dirname = composed.hydra.job.override_dirname  # of files only
    assert OmegaConf.to_container(composed) == OmegaConf.to_container(literal)
