"""What tests do to the Slurm of `tests/cluster/slurm_local.sh`."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cfa_lab.launch.slurm.options import Options
from cfa_lab.launch.slurm.watch import run_slurm
from cfa_lab.launch.task import End, Task, packed

SECONDS = 120


def until(condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Wait for a condition; returns what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.1)
    return found


def _told(task: Task, end: End) -> str:
    return str(end)


class Launch:
    """A launcher in a thread of its own, so that a test can do something to its jobs."""

    def __init__(self, run: Callable[..., list[End]], tasks: Sequence[Task], **settings: Any):
        self.said: list[str] = []
        self._ends: list[End] = []
        self._error: Exception | None = None
        arguments = (run, tasks, settings)
        self._thread = threading.Thread(target=self._run, args=arguments, daemon=True)
        self._thread.start()

    def _run(self, run: Callable[..., list[End]], tasks: Sequence[Task], settings: Any) -> None:
        try:
            self._ends = run(tasks, say=self.said.append, tell=_told, **settings)
        except Exception as error:
            self._error = error

    def ends(self, seconds: float = SECONDS) -> list[End]:
        """Wait for all jobs."""
        self._thread.join(seconds)
        if self._error is not None:
            raise self._error
        assert not self._thread.is_alive(), "\n".join(self.said)
        return self._ends

    def heard(self, text: str) -> bool:
        if self._error is not None:
            raise self._error
        return any(re.search(text, line) for line in self.said)


def task(place: Path, name: str, code: str) -> Task:
    """A job that runs Python code, in which `note(text)` adds a line to `<place>/<name>`."""
    note = f"def note(text):\n    open({str(place / name)!r}, 'a').write(text + '\\n')\n"
    call = packed(exec, f"import os, time\n{note}{code}", {})
    return Task(name=name, folder=place / f"run-{name}", identity=name, call=call)


def lines(place: Path, name: str) -> list[str]:
    """What a job has noted, in all its tries."""
    with contextlib.suppress(OSError):
        return (place / name).read_text().splitlines()
    return []


class Slurm:
    """The cluster, and a folder of a test for its jobs."""

    def __init__(self, folder: Path, script: Path, place: Path):
        self.folder, self.script, self.place = folder, script, place

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def task(self, name: str, code: str) -> Task:
        return task(self.place, name, code)

    def lines(self, name: str) -> list[str]:
        return lines(self.place, name)

    def launch(self, tasks: Sequence[Task], **options: Any) -> Launch:
        return Launch(run_slurm, tasks, root=self.place, options=self.options(**options))

    @staticmethod
    def options(**options: Any) -> Options:
        return Options(**{"timeout_min": 5, "poll_s": 1.0, "partition": "main"} | options)

    def jobs(self, *states: str) -> list[str]:
        """Ids of the jobs in these states, as `12_3`."""
        chosen = f"--states={','.join(states)}"
        return self.ask("squeue", "-h", "-r", chosen, "--format=%F_%K").split()

    def processes(self) -> list[int]:
        """Of all running jobs: `job.py`, whatever it is at."""
        found: list[int] = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_text(errors="replace").split("\0")
                if any(word.startswith(str(self.place)) for word in words if "job.py" in word):
                    found.append(int(process.name))
        return found

    def pid(self, name: str) -> int:
        """The process of a running job, as `note(str(os.getpid()))` told it."""
        return int(until(lambda: self.lines(name))[-1])

    def daemon(self, name: str) -> int:
        return int((self.folder / f"{name}.pid").read_text())

    def lose_node(self, name: str) -> None:
        """Kill all that runs on a node, as a loss of power would."""
        os.kill(self.daemon(name), signal.SIGKILL)
        for job in self.ask("squeue", "-h", "-w", name, "--format=%A").split():
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    command = (process / "cmdline").read_text(errors="replace")
                    around = (process / "environ").read_text(errors="replace")
                    of_job = f"SLURM_JOB_ID={job}\0" in around
                    if of_job or command.startswith(f"slurmstepd: [{job}."):
                        os.kill(int(process.name), signal.SIGKILL)

    def hurry(self) -> None:
        """Let requeued jobs begin, which Slurm holds back for two minutes."""
        for job in self.jobs("PENDING"):
            subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"])

    def heal_node(self, name: str) -> None:
        self.ask(str(self.script), "node", str(self.folder), name)

    def heal(self) -> None:
        """All daemons run, no job is there."""
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self.ask("scancel", "--user=root")
        if not self._runs("slurmctld"):
            self._start_anew()
        for node in ("n1", "n2"):
            if not self._runs(node):
                self.heal_node(node)
        until(
            lambda: subprocess.run(["scancel", "--user=root"], capture_output=True).returncode == 0
        )
        for node in ("n1", "n2"):  # a job that could not begin drains its node
            subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], stderr=-3)
        until(lambda: len(self.ask("sinfo", "-hN", "-pmain", "-tidle", "-o%N").split()) == 2)
        assert not self.jobs("all") or until(lambda: not self.jobs("RUNNING", "PENDING"))

    def _start_anew(self) -> None:
        """Without what was: a killed controller gives numbers again, whose nodes are drained."""
        self.ask(str(self.script), "stop", str(self.folder))
        for name in ("state", "n1", "n2"):
            shutil.rmtree(self.folder / name)
            (self.folder / name).mkdir()
        self.ask(str(self.script), "start", str(self.folder))

    def _runs(self, name: str) -> bool:
        with contextlib.suppress(OSError, ValueError):
            status = Path(f"/proc/{self.daemon(name)}/status").read_text()
            return "State:\tZ" not in status
        return False
