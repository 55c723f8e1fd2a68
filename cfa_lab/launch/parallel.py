"""Jobs side by side on this machine, in kept processes; one that dies ends its own job only."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait

from cfa_lab.errors import UserError
from cfa_lab.launch.board import Board, board
from cfa_lab.launch.task import End, LostJob, Task
from cfa_lab.launch.workers import SECONDS_TO_STOP, Worker, Workers
from cfa_lab.records.environment import count_cores

SECONDS_BETWEEN_LOOKS = 0.5


def run_parallel(
    tasks: Sequence[Task],
    *,
    num_workers: int,
    retries: int,
    say: Callable[[str], None],
    workers: Workers | None = None,
) -> list[End]:
    """Run all tasks, `num_workers` at once; returns their ends in the same order.

    A job whose process dies is started again, `retries` times; its end is then a LostJob. The
    others go on. Processes are taken from `workers` and left there, if they are given.
    """
    ends: dict[int, End] = {}
    kept = workers or Workers()
    with board(len(tasks), say) as shown:
        crew = _Crew(tasks, min(num_workers, len(tasks)), retries, shown, kept)
        try:
            while len(ends) < len(tasks):
                crew.fill()
                for number, end in crew.ends():
                    ends[number] = end
                    shown.ended(end)
        finally:
            crew.stop()
            if workers is None:
                kept.close()
    return [ends[number] for number in range(len(tasks))]


class _Crew:
    """The workers that are busy, and which jobs wait for one."""

    def __init__(self, tasks: Sequence[Task], size: int, retries: int, shown: Board, kept: Workers):
        self._tasks, self._size, self._retries, self._shown = tasks, size, retries, shown
        self._kept = kept
        self._waiting = deque(range(len(tasks)))
        self._busy: set[Worker] = set()
        self._lost: Counter[int] = Counter()

    def fill(self) -> None:
        """Give every place a job, as long as any wait."""
        while self._waiting and len(self._busy) < self._size:
            worker = self._kept.take()
            number = self._waiting[0]
            if worker.begin(number, self._tasks[number].call):
                self._waiting.popleft()
                self._busy.add(worker)
            else:
                worker.leave(0.0)
        self._shown.state({"running": len(self._busy), "waiting": len(self._waiting)})

    def ends(self) -> list[tuple[int, End]]:
        """Jobs that have ended by now, after waiting a little for one."""
        wait(self._busy, timeout=SECONDS_BETWEEN_LOOKS)  # pyright: ignore[reportArgumentType]
        found: list[tuple[int, End]] = []
        for worker in list(self._busy):
            number = worker.number
            assert number is not None
            try:
                if (end := worker.end()) is None:
                    continue
                self._kept.keep(worker)
                found.append((number, end))
            except LostJob as lost:
                worker.leave(0.0)
                if (end := self._again(number, lost)) is not None:
                    found.append((number, end))
            self._busy.discard(worker)
        return found

    def _again(self, number: int, lost: LostJob) -> End | None:
        """Let a lost job run again; its end where that was done often enough."""
        self._lost[number] += 1
        if (times := self._lost[number]) > self._retries:
            return End(error=LostJob(f"{lost}, {times} times") if times > 1 else lost)
        self._shown.say(f"{self._tasks[number].name}: {lost}; it is started again")
        self._waiting.append(number)
        return None

    def stop(self) -> None:
        """End the processes that are at a job still: the command was interrupted."""
        for worker in self._busy:
            worker.ask_to_stop()
            worker.close()
        deadline = time.monotonic() + SECONDS_TO_STOP
        for worker in self._busy:
            worker.leave(deadline)


def count_workers(n_jobs: int) -> int:
    """How many jobs run at once; -1 is one for each core this process may use, -2 one less."""
    if n_jobs == 0:
        raise UserError(
            "hydra.launcher.n_jobs is 0; allowed: the number of jobs that run at once, or -1 for "
            "one on each core"
        )
    return n_jobs if n_jobs > 0 else max(1, count_cores() + 1 + n_jobs)
