"""Jobs that Slurm calls running and that write nothing any more, as where their node hangs.

A job that lives says where it is four times a minute (`cfa_lab.progress`), so its log is its
heartbeat. Only changes are looked for: clocks of other machines need not agree with ours.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cfa_lab.launch.slurm.batch import BEGUN, LOG, Submitted
from cfa_lab.launch.task import Task
from cfa_lab.progress import duration
from cfa_lab.records import names

SECONDS_OF_SILENCE = 600.0
"""After which a job is worth a word. Importing over a slow network takes minutes, too."""


class Silence:
    """For how long each running job's files have been as they are, as far as this command saw."""

    def __init__(self, say: Callable[[str], None]):
        self._say = say
        self._seen: dict[int, tuple[object, float]] = {}
        self._told: set[int] = set()

    def look(self, running: Mapping[int, tuple[Submitted, Task]]) -> dict[int, float]:
        """Seconds since each of these jobs was heard of that is silent for long; says so once.

        It is only said: people end a job, or start it elsewhere. Those that run no more are
        forgotten: waiting is no silence.
        """
        now = time.monotonic()
        before, self._seen = self._seen, {}
        for number, (job, task) in running.items():
            sign = _sign(job, task)
            known, since = before.get(number, (None, now))
            self._seen[number] = sign, since if known == sign else now
        silent = {
            number: now - since
            for number, (_, since) in self._seen.items()
            if now - since >= SECONDS_OF_SILENCE
        }
        for number in silent.keys() - self._told:
            self._say(_told(*running[number], silent[number]))
        self._told = {*silent}
        return silent


def _told(job: Submitted, task: Task, seconds: float) -> str:
    again = f"; if its node hangs, scontrol requeue {job.id} starts it elsewhere" if job.id else ""
    return (
        f"{task.name}: runs{_where(job)}, as Slurm says, but has written nothing for "
        f"{duration(seconds)}{again}"
    )


def _where(job: Submitted) -> str:
    """The node on which a job began, as it noted itself."""
    try:
        noted = job.array.file(job.index, BEGUN).read_text(encoding="utf-8").split()
    except OSError:
        noted = []
    return f" on {noted[0]}" if noted else ""


def _sign(job: Submitted, task: Task) -> object:
    """What changes whenever a job writes."""
    own = (job.array.file(job.index, kind) for kind in (LOG, BEGUN))
    of_run = (task.folder / name for name in (names.LOG, names.HISTORY, names.STATE))
    return [_standing(path) for path in (*own, *of_run)]


def _standing(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
