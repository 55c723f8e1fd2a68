"""Multiruns as real processes: killed, started again, listed, under every launcher, searched."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.tiny import TINY_RUN

from cfa_lab.config import Config
from cfa_lab.run.run import run

Configure = Callable[..., Config]


def command(word: str, *settings: str) -> list[str]:
    """A command line whose first word is `-m`, `plan` or a setting."""
    return [sys.executable, "-m", "cfa_lab", word, *TINY_RUN, *settings]


def cfa_lab(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=cwd, timeout=300)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_study_started_again_does_what_is_missing_to_the_same_numbers(
    tmp_path: Path, tiny_root: Path, tiny_config: Configure
):
    settings = [f"dataset.root={tiny_root}", "trainer.epochs=30"]
    process = subprocess.Popen(
        command("-m", *settings, "seed=0,1"), cwd=tmp_path, text=True, stderr=subprocess.PIPE
    )
    second = "multirun/*/*/1-resnet18-square-s1/history.csv"
    wait_until(lambda: any(p.stat().st_size > 1500 for p in tmp_path.glob(second)), process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)

    listed = cfa_lab("plan", *settings, "seed=0,1,2", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    states = [line.split()[1] for line in listed.stdout.splitlines()[1:]]
    assert states == ["done", "unfinished", "new"]
    assert re.match(r"3 jobs: 1 done, 1 unfinished, 1 new; about .* left", listed.stdout)
    assert len(list(tmp_path.glob("multirun/*-*/*"))) == 1, "a listing leaves no folder"

    again = cfa_lab("-m", *settings, "seed=0,1", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "2 jobs: 1 resumed, 1 reused" in again.stdout
    assert "2 jobs: 1 done, 1 unfinished; about" in again.stderr
    assert "\njob 1 of 2 goes on: seed=1\n" in again.stderr
    assert "\n  resumed, image AUROC" in again.stderr
    assert re.search(r"^report  python -m cfa_lab report multirun/[\d/-]+$", again.stdout, re.M)
    first, last = sorted(tmp_path.glob("multirun/*-*/*"))
    assert [path.name for path in first.glob("*-s*")] == ["0-resnet18-square-s0"]
    for seed in (0, 1):
        folder = last / f"{seed}-resnet18-square-s{seed}"
        whole = run(tiny_config(f"seed={seed}", "trainer.epochs=30"), tmp_path / f"whole{seed}")
        assert record(folder)["metrics"] == record(whole.folder)["metrics"]
        assert (folder / ".hydra" / "overrides.yaml").is_file()
        origin = folder / record(folder).get("reused_from", ".")
        for name in ("history.csv", "predictions.csv"):
            assert (origin / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_study_that_has_nothing_to_do_says_what_it_found(tmp_path: Path, tiny_root: Path):
    settings = [f"dataset.root={tiny_root}", "category=all", "hydra.sweep.dir=study"]
    assert cfa_lab("-m", *settings, cwd=tmp_path).returncode == 0
    before = (tmp_path / "study" / "0-resnet18-square-s0" / "metrics.json").read_bytes()
    again = cfa_lab("-m", *settings, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "1 jobs: 1 reused" in again.stdout
    assert (tmp_path / "study" / "0-resnet18-square-s0" / "metrics.json").read_bytes() == before


CASES = """
# @package _global_
hydra:
  mode: MULTIRUN
  sweep: {dir: multirun/cases}
  sweeper:
    params: {seed: "0,1"}
    cases:
      adaptation: [trainer.epochs=0 descriptor.init=orthogonal, "", trainer.epochs=0]
"""


@pytest.mark.slow
def test_a_study_of_cases_in_a_file_reuses_what_another_study_has_done(
    tmp_path: Path, tiny_root: Path
):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "cases.yaml").write_text(CASES)
    found = [f"dataset.root={tiny_root}", "hydra.sweep.dir=multirun/other"]
    before = cfa_lab("-m", *found, "trainer.epochs=0", cwd=tmp_path)
    assert before.returncode == 0, before.stderr
    study = ["experiment=cases", f"hydra.searchpath=[file://{tmp_path / 'conf'}]", found[0]]
    settings = [setting for setting in TINY_RUN if not setting.startswith("trainer.epochs")]
    listed = subprocess.run(
        [sys.executable, "-m", "cfa_lab", "plan", *settings, *study],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert listed.returncode == 0, listed.stderr
    lines = [line.split() for line in listed.stdout.splitlines()[1:]]
    assert lines[0][1:] == ["new", "seed=0", "trainer.epochs=0", "descriptor.init=orthogonal"]
    assert lines[1][1:] == ["new", "seed=0"]
    assert lines[2][1:4] == ["done", "seed=0", "trainer.epochs=0"]
    assert [line[1] for line in lines[3:]] == ["new"] * 3


@pytest.mark.slow
def test_two_processes_at_one_study_share_the_work(tmp_path: Path, tiny_root: Path):
    arguments = ["-m", f"dataset.root={tiny_root}", "seed=0,1,2", "hydra.sweep.dir=study"]
    processes = [
        subprocess.Popen(
            command(*arguments), cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=-1
        )
        for _ in range(2)
    ]
    texts = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum(int(n) for text in texts for n in re.findall(r"(\d) computed", text)) == 3
    assert len(list(tmp_path.glob("study/*/metrics.json"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher, plugin",
    [
        ("parallel", "hydra_plugins.hydra_joblib_launcher"),
        ("local", "hydra_plugins.hydra_submitit_launcher"),
        ("ray_local", "hydra_plugins.hydra_ray_launcher"),
    ],
)
def test_every_launcher_gives_the_same_metrics_and_names_failed_jobs(
    tmp_path: Path, tiny_root: Path, tiny_config: Configure, launcher: str, plugin: str
):
    pytest.importorskip(plugin, reason="needs the extra of this launcher")
    arguments = [f"dataset.root={tiny_root}", f"hydra/launcher={launcher}", "seed=0,1"]
    done = cfa_lab("-m", *arguments, "category=square,sqare", cwd=tmp_path)
    assert done.returncode == 1
    assert "4 jobs: 2 computed, 2 failed" in done.stdout
    lines = done.stderr.strip().splitlines()
    failed = [line for line in lines if line.startswith("failed: job")]
    assert len(failed) == 2
    assert all("category=sqare" in line and "did you mean" in line for line in failed)
    assert lines[-1].startswith("cfa_lab: 2 of 4 jobs failed")
    assert "Error executing job" not in done.stderr
    for path in tmp_path.glob("multirun/*/*/*/metrics.json"):
        seed = record(path.parent)["config"]["seed"]
        whole = run(tiny_config(f"seed={seed}"), tmp_path / f"whole{seed}")
        assert record(path.parent)["metrics"] == record(whole.folder)["metrics"]
    again = cfa_lab("-m", *arguments, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "2 jobs: 2 reused" in again.stdout


OBJECTIVE = """
import hydra
from hydra.core.config_store import ConfigStore
from cfa_lab.cli.schema import VERSION_BASE
from cfa_lab.config import Config, conf_dir

ConfigStore.instance().store(name="schema", node=Config)

@hydra.main(**VERSION_BASE, config_path=str(conf_dir()), config_name="config")
def objective(cfg):
    value = -((cfg.loss.alpha - 0.3) ** 2)
    print("value", value)
    return value

objective()
"""
"""A toy in place of training: best where alpha is 0.3."""


@pytest.mark.slow
def test_a_search_improves_on_its_first_trial(tmp_path: Path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs the extra `search`")
    (tmp_path / "objective.py").write_text(OBJECTIVE)
    arguments = ["-m", "hydra/sweeper=search", "hydra.sweeper.n_trials=15"]
    done = subprocess.run(
        [sys.executable, "objective.py", *arguments, "loss.alpha=interval(0,1)"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    values = [float(value) for value in re.findall(r"value (\S+)", done.stdout)]
    assert len(values) == 15
    (best,) = re.findall(r"Best value: (\S+)", done.stderr)
    assert float(best) == max(values) > values[0]


@pytest.mark.slow
def test_a_search_goes_through_the_same_jobs(tmp_path: Path, tiny_root: Path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs the extra `search`")
    settings = ["hydra/sweeper=search", "hydra.sweeper.n_trials=2", "loss.K=range(1,4)"]
    done = cfa_lab("-m", f"dataset.root={tiny_root}", *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Best parameters: {'loss.K': " in done.stderr
    assert len(list(tmp_path.glob("multirun/*/*/*/metrics.json"))) == 2


@pytest.mark.slow
def test_an_interrupted_study_says_how_to_go_on(tmp_path: Path, tiny_root: Path):
    process = subprocess.Popen(
        command("-m", f"dataset.root={tiny_root}", "trainer.epochs=4000"),
        cwd=tmp_path,
        text=True,
        stderr=subprocess.PIPE,
        # a background shell lets its children ignore the signal, and they inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(lambda: bool(list(tmp_path.glob("multirun/*/*/*/history.csv"))), process)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert stderr.strip().splitlines()[-1] == (
        "cfa_lab: interrupted; the same command goes on where it was"
    )
