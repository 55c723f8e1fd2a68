"""Jobs that Slurm calls running and that write nothing: said, and nothing more."""

import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cfa_lab.launch.slurm import scheduler, silence, watch
from cfa_lab.launch.slurm.batch import Array, Submitted
from cfa_lab.launch.slurm.options import Options
from cfa_lab.launch.slurm.scheduler import State
from cfa_lab.launch.slurm.silence import Silence
from cfa_lab.launch.task import End, Task, packed, perform
from cfa_lab.progress import shown as progress


class Clock:
    """What `time.monotonic` says in `silence`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 1000.0
        monkeypatch.setattr(silence.time, "monotonic", lambda: self.now)


def task(place: Path, name: str) -> Task:
    return Task(name=name, folder=place / name, identity=name, call=packed(str, name))


@pytest.fixture
def jobs(tmp_path: Path) -> dict[int, tuple[Submitted, Task]]:
    array = Array(tmp_path / "array")
    array.folder.mkdir()
    array.note("77")
    return {i: (Submitted(array, i), task(tmp_path, f"run{i}")) for i in range(2)}


def test_a_job_is_silent_from_its_last_sign_on_and_is_told_once(
    jobs: Any, monkeypatch: pytest.MonkeyPatch
):
    clock, said = Clock(monkeypatch), []
    watched = Silence(said.append)
    (first, _), (_, second) = jobs.values()
    first.array.file(0, "begun").write_text("node7 123\n")
    assert watched.look(jobs) == {}
    clock.now += 599
    assert watched.look(jobs) == {}
    second.folder.mkdir()
    (second.folder / "history.csv").write_text("epoch")  # what is not the log counts, too
    clock.now += 121
    assert watched.look(jobs) == {0: 720.0}
    assert said == [
        "run0: runs on node7, as Slurm says, but has written nothing for 12 min; if its node "
        "hangs, scontrol requeue 77_0 starts it elsewhere"
    ]
    clock.now += 60
    assert watched.look(jobs) == {0: 780.0}
    first.array.file(0, "log").write_text("working  13 min")
    assert watched.look(jobs) == {}
    clock.now += 599
    assert watched.look(jobs) == {1: 659.0}
    clock.now += 1
    assert watched.look(jobs) == {0: 600.0, 1: 660.0}
    assert [line.partition(":")[0] for line in said] == ["run0", "run1", "run0"]
    assert "run1: runs, as Slurm says" in said[1]  # it has not noted where


def test_a_job_that_waits_or_begins_anew_is_not_silent(jobs: Any, monkeypatch: pytest.MonkeyPatch):
    clock, said = Clock(monkeypatch), []
    watched = Silence(said.append)
    watched.look(jobs)
    clock.now += 599
    watched.look({1: jobs[1]})  # the first one waits again
    clock.now += 2
    assert watched.look(jobs) == {1: 601.0}
    clock.now += 599
    assert watched.look(jobs) == {1: 1200.0}


def test_what_a_job_writes_is_seen_whatever_its_clock_says(
    jobs: Any, monkeypatch: pytest.MonkeyPatch
):
    clock = Clock(monkeypatch)
    watched = Silence(print)
    log = jobs[0][0].array.file(0, "log")
    for year in (2040, 1990):  # of a node whose clock is wrong
        log.write_text("working")
        seconds = (year - 1970) * 31_556_952
        os.utime(log, (seconds, seconds))
        assert 0 not in watched.look(jobs)
        clock.now += 500
    assert 0 not in watched.look(jobs)


def test_the_live_line_counts_silent_jobs_and_they_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Slurm is a stand-in here that says that both run; nothing but squeue and sbatch is asked."""
    monkeypatch.setattr(watch, "SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(silence, "SECONDS_OF_SILENCE", 0.3)
    monkeypatch.setattr(scheduler, "largest_array", lambda: 100)
    monkeypatch.setattr(scheduler, "submit", lambda script: "77")

    def ask(names: Any) -> dict[tuple[str, int], State]:
        return {(name, i): State("RUNNING") for name in names for i in range(2)}

    monkeypatch.setattr(scheduler, "known", ask)
    tasks = [task(tmp_path, f"run{i}") for i in range(2)]
    said: list[str] = []
    ends: list[End] = []

    def run() -> None:
        options, settings = Options(poll_s=0.05), {"say": said.append, "tell": lambda t, end: "x"}
        ends.extend(watch.run_slurm(tasks, root=tmp_path, options=options, **settings))

    command = threading.Thread(target=run, daemon=True)
    command.start()
    seen: set[str] = set()
    deadline = time.monotonic() + 30
    while not any("1 silent for" in text for text in seen):
        assert time.monotonic() < deadline, seen
        for folder in tmp_path.glob(".slurm/cfa_lab-*"):
            with Array(folder).file(1, "log").open("a") as log:
                log.write("working\n")
        seen |= {str(phase) for phase in progress._phases}
        time.sleep(0.02)
    assert any(re.search(r"1 running, 1 silent for 0\.\d s", text) for text in seen), seen
    (folder,) = tmp_path.glob(".slurm/cfa_lab-*")
    for i in range(2):
        Array(folder).file(i, "end").write_bytes(perform(tasks[i].call))
    command.join(30)
    assert [end.value for end in ends] == ["run0", "run1"]
    assert sum("has written nothing for" in line for line in said) == 1
