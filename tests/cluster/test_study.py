"""A whole study over Slurm whose jobs, nodes and command are killed at random, until it is done."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.cluster import SECONDS, Slurm, until
from helpers.tiny import TINY_RUN, write_tiny

pytestmark = pytest.mark.cluster

NUM_JOBS = int(os.environ.get("CFA_LAB_TEST_JOBS", "60"))
SETTINGS = [*TINY_RUN, "evaluation.resamples=20", "hydra.sweep.dir=study"]
SLURM = ["hydra/launcher=slurm", "hydra.launcher.partition=main", "hydra.launcher.cpus_per_task=1"]
SLURM += ["hydra.launcher.mem_gb=null", "hydra.launcher.timeout_min=10", "hydra.launcher.poll_s=1"]
TRIES = 12
"""Commands after which the study has to be complete, those that are killed aside."""


def study(place: Path, data: Path, *more: str) -> list[str]:
    seeds = ",".join(map(str, range(NUM_JOBS)))
    kept = f"features.folder={place.parent / 'features'}"
    return [
        *(sys.executable, "-m", "cfa_lab", "-m", *SETTINGS, f"seed={seeds}"),
        *(f"dataset.root={data}", kept, *more),
    ]


def report(place: Path) -> dict[str, bytes]:
    """The files of its report that hold neither times nor paths."""
    command = [sys.executable, "-m", "cfa_lab", "report", "study", "--output", "told", "--publish"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files = sorted(path for path in (place / "told").rglob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in files if path.name != "cost.md"}


def test_a_study_that_is_disturbed_at_random_ends_with_the_bytes_of_an_undisturbed_one(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    chance = random.Random(0)
    data, whole, torn = (slurm.place / name for name in ("data", "whole", "torn"))
    write_tiny(data / "square")
    for place in (whole, torn):
        place.mkdir()
    calm = study(whole, data, "hydra/launcher=parallel", "hydra.launcher.n_jobs=2")
    done = subprocess.run(calm, cwd=whole, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]

    said = (torn / "said.txt").open("w")
    started, faults = 0, {"job": 0, "node": 0, "command": 0}
    command = None
    while command is None or command.poll() != 0:
        if command is None or command.poll() is not None:
            started += 1
            assert started <= TRIES + faults["command"], (torn / "said.txt").read_text()[-4000:]
            command = subprocess.Popen(
                study(torn, data, *SLURM), cwd=torn, stdout=said, stderr=said
            )
        time.sleep(chance.uniform(2, 8))
        slurm.hurry()
        kind = chance.choice(list(faults))
        if faults[kind] >= 4 or command.poll() is not None:
            continue
        if kind == "command":
            command.send_signal(chance.choice([signal.SIGKILL, signal.SIGTERM]))
            command.wait(60)
        elif kind == "node":
            node = chance.choice(["n1", "n2"])
            slurm.lose_node(node)
            slurm.heal_node(node)
        elif pids := slurm.processes():
            os.kill(chance.choice(pids), signal.SIGKILL)
        else:
            continue
        faults[kind] += 1
    said.close()
    print(f"{NUM_JOBS} jobs, {started} commands, faults: {faults}")
    assert min(faults.values()) >= 2, faults
    assert len(list((torn / "study").glob("*/metrics.json"))) == NUM_JOBS
    assert report(torn) == report(whole)
    until(lambda: not slurm.jobs("RUNNING", "PENDING"))


def test_a_dated_study_goes_on_in_a_new_folder_or_is_cancelled(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch
):
    """Each command makes a folder by date and time; jobs of the one before are found in it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    write_tiny(slurm.place / "data" / "square")
    own = ("hydra.sweep", "trainer.epochs")
    settings = [word for word in SETTINGS if not word.startswith(own)]
    settings += [*SLURM, f"dataset.root={slurm.place / 'data'}", "seed=0,1"]

    def command(*more: str) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-m", "cfa_lab", "-m", *settings, *more]
        pipe = subprocess.PIPE
        return subprocess.Popen(arguments, cwd=slurm.place, stdout=pipe, stderr=pipe, text=True)

    def states() -> list[Path]:
        return list(slurm.place.glob("multirun/*/*/*/state.safetensors"))

    first = command("trainer.epochs=1500")
    until(lambda: len(states()) == 2 or first.poll() is not None)
    first.send_signal(signal.SIGTERM)
    said = first.communicate(timeout=60)[1]
    assert "2 jobs stay with Slurm; the same command goes on with them, and with --cancel" in said
    assert said.splitlines()[-1] == "cfa_lab: interrupted; the same command goes on where it was"
    out, said = command("trainer.epochs=1500").communicate(timeout=SECONDS)
    assert "2 jobs are with Slurm already" in said
    assert "2 jobs: 2 computed" in out
    before, after = sorted(slurm.place.glob("multirun/*-*/*"))
    for seed in (0, 1):
        name = f"{seed}-resnet18-square-s{seed}"
        here, there = (
            json.loads((at / name / "metrics.json").read_text()) for at in (after, before)
        )
        assert (after / name / here["reused_from"]).resolve() == before / name
        assert here["metrics"] == there["metrics"] and "reused_from" not in there

    endless = command("trainer.epochs=100000")
    until(lambda: len(states()) == 2)
    endless.kill()
    endless.communicate(timeout=60)
    assert command("trainer.epochs=100000", "--cancel").communicate(timeout=60)[0] == (
        "2 jobs cancelled\n"
    )
    until(lambda: not slurm.jobs("RUNNING", "PENDING", "COMPLETING"))
