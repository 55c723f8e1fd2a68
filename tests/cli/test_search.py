"""A search: what it varies, what it records, and what it says at the end."""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.tiny import TINY_RUN
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode

from cfa_lab.cli.schema import VERSION_BASE
from cfa_lab.config import Config, conf_dir
from cfa_lab.errors import UserError
from cfa_lab.study.reuse import JobOutcome

pytest.importorskip("optuna", reason="needs the extra `search`")

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from cfa_lab.cli.search import search
from cfa_lab.cli.search_options import Options
from cfa_lab.cli.space import read_space

OPTIONS: dict[str, Any] = {
    "params": None,
    "metric": "test/image_auroc",
    "direction": "maximize",
    "n_trials": 4,
    "n_jobs": 1,
    "sampler": {"name": "random", "seed": 0},
    "storage": None,
    "study_name": None,
}


@pytest.fixture
def loader():
    ConfigStore.instance().store(name="schema", node=Config)
    with initialize_config_dir(**VERSION_BASE, config_dir=str(conf_dir())):
        yield GlobalHydra.instance().config_loader()


@pytest.mark.parametrize(
    "text, distribution",
    [
        ("loss.K=1,3,5", CategoricalDistribution(["1", "3", "5"])),
        ("loss.K=choice(1,3,5)", CategoricalDistribution(["1", "3", "5"])),
        ("optimizer=choice(adamw,sgd)", CategoricalDistribution(["adamw", "sgd"])),
        ("loss.K=shuffle(range(1,4))", None),
        ("loss.K=range(1,9)", IntDistribution(1, 8)),
        ("loss.K=range(1,9,3)", IntDistribution(1, 7, step=3)),
        ("loss.K=range(9,1,-2)", IntDistribution(3, 9, step=2)),
        ("loss.K=tag(log,range(1,9))", IntDistribution(1, 8, log=True)),
        ("loss.K=int(interval(1,9))", IntDistribution(1, 9)),
        ("loss.alpha=interval(0,1)", FloatDistribution(0.0, 1.0)),
        ("loss.alpha=range(0.1,0.4,0.1)", FloatDistribution(0.1, 0.3, step=0.1)),
        ("optimizer.lr=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
    ],
)
def test_hydras_sweeps_are_the_space(loader: Any, text: str, distribution: Any):
    key, found = next(iter(read_space([text], {}, loader).searched.items()))
    assert key == text.partition("=")[0]
    if distribution is None:
        assert sorted(found.choices) == ["1", "2", "3"]  # pyright: ignore[reportAttributeAccessIssue]
    else:
        assert found == distribution


def test_what_is_typed_wins_and_categories_and_seeds_are_averaged(loader: Any):
    params = {"loss.K": "range(1,9)", "loss.alpha": "interval(0,1)", "seed": "0,1"}
    typed = ["loss.alpha=0.2", "category=2024_01,screw", "loss.J=0"]
    space = read_space(typed, params, loader)
    assert list(space.searched) == ["loss.K"]
    jobs = space.jobs_of({"loss.K": 3})
    assert len(jobs) == 4
    assert jobs[0] == ["loss.alpha=0.2", "loss.J=0", "seed=0", "category='2024_01'", "loss.K=3"]


@pytest.mark.parametrize(
    "text, told",
    [
        ("seed=0,1", "a search needs something to vary"),
        ("loss.K=range(3,3)", "cannot search loss.K=range.3,3.: it has no values"),
        ("optimizer.lr=tag(log,interval(0,1))", "cannot search optimizer.lr"),
    ],
)
def test_spaces_without_values_are_refused(loader: Any, text: str, told: str):
    with pytest.raises(UserError, match=told):
        read_space([text], {}, loader)


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"direction": "up"}, "direction is 'up'; allowed: maximize, minimize"),
        ({"metric": ["a", "b"], "direction": ["maximize"]}, "has 1 entries for 2 metrics"),
        ({"n_trials": 0}, "n_trials is 0; allowed: 1 or more"),
    ],
)
def test_options_are_checked(changed: dict[str, Any], told: str):
    with pytest.raises(UserError, match=told):
        Options.read(**OPTIONS | changed)


class Scoring(Launcher):
    """Answers a job by its overrides in place of running it; numbers what it was given."""

    def __init__(self, answer: Callable[[dict[str, str]], JobOutcome | Exception], folder: Path):
        self.answer, self.folder, self.jobs = answer, folder, []

    def setup(self, **_: object) -> None: ...

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        returns = []
        for overrides in job_overrides:
            job = dict(override.split("=", 1) for override in overrides)
            self.jobs.append(job)
            found = JobReturn()
            answer = self.answer(job)
            if isinstance(answer, JobOutcome):
                answer = replace(answer, folder=self.folder / job["hydra.sweep.subdir"].strip("'"))
            found.status = (
                JobStatus.FAILED if isinstance(answer, Exception) else JobStatus.COMPLETED
            )
            found.return_value = answer
            returns.append(found)
        return returns


def outcome(value: float | None, **metrics: float) -> JobOutcome:
    found = {"test/image_auroc": value} | metrics
    return JobOutcome(status="computed", folder=Path(), metrics=found)


@pytest.fixture
def searched(tmp_path: Path, tiny_root: Path, loader: Any):
    """Search with a launcher that answers."""

    def run(
        *arguments: str,
        answer: Callable[[dict[str, str]], JobOutcome | Exception],
        sweep: str = "study",
        **changed: Any,
    ) -> tuple[list[Any], Scoring]:
        folder = tmp_path / "multirun" / sweep
        own = ["hydra/sweeper=search", f"hydra.sweep.dir={folder}"]
        master = loader.load_configuration("config", own, run_mode=RunMode.MULTIRUN)
        launcher = Scoring(answer, folder)
        given = [*TINY_RUN, f"dataset.root={tiny_root}", *arguments]
        options = Options.read(**OPTIONS | changed)
        return search(given, options, master, loader, launcher), launcher

    return run


def test_the_best_trial_is_named_with_the_command_that_repeats_it(
    searched: Any, tmp_path: Path, capsys
):
    best, launcher = searched(
        "loss.alpha=interval(0,1)",
        answer=lambda job: outcome(1 - (float(job["loss.alpha"]) - 0.3) ** 2),
    )
    values = [float(job["loss.alpha"]) for job in launcher.jobs]
    nearest = min(values, key=lambda value: abs(value - 0.3))
    assert best[0].params == {"loss.alpha": nearest}
    said = capsys.readouterr()
    assert "4 trials: 4 complete" in said.out
    (command,) = re.findall(r"^repeat  (.*)$", said.out, re.M)
    assert shlex.split(command)[:3] == ["python", "-m", "cfa_lab"]
    assert f"loss.alpha={nearest}" in shlex.split(command) and "-m" not in shlex.split(command)[3:]
    assert "chosen on test labels" in said.out
    kept = yaml.safe_load((tmp_path / "multirun" / "study" / "search.yaml").read_text())
    assert kept["chosen_on"] == "test labels" and kept["repeat"] == command
    assert kept["best"][0]["params"] == {"loss.alpha": nearest}
    assert len({job["hydra.sweep.subdir"] for job in launcher.jobs}) == 4
    # another study's folder, the same search: nothing is left to do
    again, idle = searched(
        "loss.alpha=interval(0,1)", answer=lambda job: ValueError(), sweep="other"
    )
    assert not idle.jobs and again[0].params == best[0].params
    wider, more = searched(
        "loss.alpha=interval(0,1)", answer=lambda job: outcome(0.5), n_trials=6, n_jobs=4
    )
    assert len(more.jobs) == 2 and len(wider) == 6


def test_a_failing_trial_is_recorded_and_the_search_goes_on(searched: Any, capsys, caplog):
    def answer(job: dict[str, str]) -> JobOutcome | Exception:
        number = len(seen)
        seen.append(job)
        if number == 1:
            return RuntimeError("a worker was killed")
        return outcome(None if number == 2 else 0.5)

    seen: list[dict[str, str]] = []
    best, launcher = searched("loss.alpha=interval(0,1)", answer=answer)
    assert len(launcher.jobs) == 4 and len(best) == 2
    assert "2 complete, 2 failed, which the same command tries again" in capsys.readouterr().out
    assert "trial 1, loss.alpha=" in caplog.text
    assert "RuntimeError: a worker was killed" in caplog.text
    assert "test/image_auroc is undefined" in caplog.text
    best, launcher = searched("loss.alpha=interval(0,1)", answer=lambda job: outcome(0.7))
    assert len(launcher.jobs) == 2 and len(best) == 4
    assert {job["loss.alpha"] for job in launcher.jobs} == {
        job["loss.alpha"] for job in seen[1:3]
    }, "the very points that failed"


def test_points_are_judged_by_the_mean_over_categories_and_seeds(searched: Any, capsys):
    best, launcher = searched(
        "loss.alpha=choice(0.1)",
        "seed=0,1,2",
        answer=lambda job: outcome(float(job["seed"]) / 4),
        n_trials=1,
    )
    assert len(launcher.jobs) == 3 and best[0].value == 0.25
    assert re.search(r"^repeat .* -m .*seed=0,1,2 loss.alpha=0.1$", capsys.readouterr().out, re.M)


def test_several_metrics_are_searched_at_once(searched: Any):
    best, _ = searched(
        "loss.alpha=interval(0,1)",
        answer=lambda job: outcome(
            float(job["loss.alpha"]), **{"test/aupro_30": 1 - float(job["loss.alpha"])}
        ),
        metric=["test/image_auroc", "test/aupro_30"],
    )
    assert len(best) == 4, "none beats another in both"


def test_a_metric_that_no_run_has_is_a_mistake_in_the_settings(searched: Any):
    with pytest.raises(UserError, match=r"metric is 'auroc'; this run has test/image_auroc"):
        searched("loss.K=range(1,4)", answer=lambda job: outcome(0.5), metric="auroc")


def test_points_that_are_no_configuration_fail_and_a_space_without_any_is_refused(
    searched: Any, caplog
):
    best, launcher = searched("loss.K=choice(1,-1)", answer=lambda job: outcome(0.5), n_trials=6)
    assert 1 <= len(launcher.jobs) == len(best) < 6
    assert "loss.K" in caplog.text
    with pytest.raises(HydraException, match=r"loss\.Q"):
        searched("loss.Q=choice(1,2)", answer=lambda job: outcome(0.5))
    with pytest.raises(UserError, match="none of 2 trials could be completed"):
        searched("loss.K=range(1,4)", answer=lambda job: ValueError("no"), n_trials=2)


def test_another_image_begins_another_search(searched: Any, tmp_path: Path):
    from helpers.tiny import write_tiny

    root = tmp_path / "data"
    write_tiny(root / "square")
    settings = ["loss.K=range(1,9)", f"dataset.root={root}"]
    searched(*settings, answer=lambda job: outcome(0.5), n_trials=2)
    image = root / "square" / "train" / "good" / "000.png"
    image.write_bytes((image.parent / "001.png").read_bytes())
    _, launcher = searched(*settings, answer=lambda job: outcome(0.5), n_trials=2)
    assert len(launcher.jobs) == 2, "values of other images are not these"
