"""Multiruns as real processes: killed, started again, listed, under every launcher, searched."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
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
        ("parallel", "hydra_plugins.cfa_lab_launchers"),
        ("ray", "ray"),
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


SEARCH = ("-m", "hydra/sweeper=search", "optimizer.lr=tag(log,interval(1e-4,1e-2))")


@pytest.mark.slow
def test_a_killed_search_started_again_ends_like_an_undisturbed_one(
    tmp_path: Path, tiny_root: Path
):
    pytest.importorskip("optuna", reason="needs the extra `search`")
    settings = [*SEARCH, f"dataset.root={tiny_root}", "trainer.epochs=60"]
    settings += ["hydra.sweeper.n_trials=3", "hydra.sweep.dir=multirun/study"]
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = cfa_lab(*settings, cwd=tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen(
        command(*settings), cwd=tmp_path / "killed", text=True, stderr=subprocess.PIPE
    )
    second = "multirun/study/1-*/history.csv"
    wait_until(
        lambda: any(p.stat().st_size > 1500 for p in tmp_path.glob(f"killed/{second}")), process
    )
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    again = cfa_lab(*settings, cwd=tmp_path / "killed")
    assert again.returncode == 0, again.stderr
    assert "3 trials for the highest test/image_auroc: 1 done" in again.stderr
    assert again.stderr.count("  resumed, ") == 1, "what was begun went on"
    assert again.stderr.count("  computed, ") == 1
    chosen = [
        {(point["values"][0], point["params"]["optimizer.lr"]) for point in found["best"]}
        for name in ("whole", "killed")
        for found in [yaml.safe_load((tmp_path / name / "multirun/study/search.yaml").read_text())]
    ]
    assert chosen[0] == chosen[1] and len(chosen[0]) == 3
    (repeat,) = re.findall(r"^repeat  python (.*)$", again.stdout, re.M)
    repeated = subprocess.run(
        [sys.executable, *shlex.split(repeat), "hydra.run.dir=repeated"],
        capture_output=True,
        text=True,
        cwd=tmp_path / "killed",
        timeout=300,
    )
    assert repeated.returncode == 0, repeated.stderr
    best = record(tmp_path / "killed" / "repeated")["metrics"]["test/image_auroc"]
    assert best == max(value for value, _ in chosen[1])


@pytest.mark.slow
def test_two_processes_at_one_search_share_its_trials(tmp_path: Path, tiny_root: Path):
    pytest.importorskip("optuna", reason="needs the extra `search`")
    settings = [*SEARCH, f"dataset.root={tiny_root}", "hydra.sweeper.n_trials=5"]
    processes = [
        subprocess.Popen(
            command(*settings), cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=-1
        )
        for _ in range(2)
    ]
    texts = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], texts
    assert sum(text.count("  computed, ") for _, text in texts) == 5
    assert len(list(tmp_path.glob("multirun/*/*/*/metrics.json"))) == 5
    assert any("5 trials: 5 complete" in out for out, _ in texts)


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
