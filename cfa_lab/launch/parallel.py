"""Jobs side by side on this machine, in kept processes; one that dies ends its own job only."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import wait

from cfa_lab.errors import UserError
from cfa_lab.launch.board import Board, board
from cfa_lab.launch.task import End, LostJob, Task, unpacked
from cfa_lab.progress import print_line
from cfa_lab.records.environment import count_cores

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_STOP = 20.0
"""What jobs get to write their state when the command is interrupted."""

PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from cfa_lab.launch.worker import main; "
    "main({descriptor}, {parent})"
)


class Worker:
    """A process that runs jobs for as long as it is sent any."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        descriptor = theirs.fileno()
        program = PROGRAM.format(path=sys.path, descriptor=descriptor, parent=os.getpid())
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[descriptor],
            start_new_session=True,  # Ctrl-C is ours to hear; workers are told to stop
        )
        theirs.close()
        threading.Thread(target=self._hand_on, daemon=True).start()
        self.number: int | None = None
        """Of the job it is at."""

    def __hash__(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        """Readable when there is an end, or the process has ended."""
        return self._connection.fileno()

    def begin(self, number: int, call: bytes) -> bool:
        """Send a job; False where the process has died meanwhile."""
        self.number = number
        try:
            self._connection.send_bytes(call)
        except OSError:
            self.number = None
        return self.number is not None

    def end(self) -> End | None:
        """What came of its job; None while it is at it. Raises LostJob where the process died."""
        code = self._process.poll()  # before looking, so that nothing comes in between
        try:
            if self._connection.poll():
                return unpacked(self._connection.recv_bytes())
        except (EOFError, OSError):
            code = self._process.wait()
        if code is not None:
            raise LostJob(f"its process {died_of(code)}")
        return None

    def ask_to_stop(self) -> None:
        """SIGTERM: a job writes where it stands, an idle process ends."""
        self._process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Send no more jobs; an idle process ends."""
        self._connection.close()

    def leave(self, deadline: float) -> None:
        """Wait for the process until then, and kill it if it is still there."""
        self.close()
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _hand_on(self) -> None:
        """Lines of the job go above our own live one."""
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                print_line(line.decode(errors="replace").rstrip("\n"))


def run_parallel(
    tasks: Sequence[Task], *, num_workers: int, retries: int, say: Callable[[str], None]
) -> list[End]:
    """Run all tasks, `num_workers` at once; returns their ends in the same order.

    A job whose process dies is started again, `retries` times; its end is then a LostJob. The
    others go on.
    """
    ends: dict[int, End] = {}
    with board(len(tasks), say) as shown:
        crew = _Crew(tasks, min(num_workers, len(tasks)), retries, shown)
        try:
            while len(ends) < len(tasks):
                crew.fill()
                for number, end in crew.ends():
                    ends[number] = end
                    shown.ended(end)
        finally:
            crew.stop(whole=len(ends) == len(tasks))
    return [ends[number] for number in range(len(tasks))]


class _Crew:
    """The workers, and which jobs wait for one."""

    def __init__(self, tasks: Sequence[Task], size: int, retries: int, shown: Board):
        self._tasks, self._size, self._retries, self._shown = tasks, size, retries, shown
        self._waiting = deque(range(len(tasks)))
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._lost: Counter[int] = Counter()

    def fill(self) -> None:
        """Give every place a job, as long as any wait."""
        while self._waiting and len(self._busy) < self._size:
            worker = self._idle.pop() if self._idle else Worker()
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
                self._idle.append(worker)
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

    def stop(self, *, whole: bool) -> None:
        """End all processes, in order unless they do not hear."""
        workers = [*self._idle, *self._busy]
        for worker in workers:
            if not whole:
                worker.ask_to_stop()
            worker.close()
        deadline = time.monotonic() + SECONDS_TO_STOP
        for worker in workers:
            worker.leave(deadline)


def died_of(code: int) -> str:
    """How a process ended, from its exit code: negative for a signal."""
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def count_workers(n_jobs: int) -> int:
    """How many jobs run at once; -1 is one for each core this process may use, -2 one less."""
    if n_jobs == 0:
        raise UserError(
            "hydra.launcher.n_jobs is 0; allowed: the number of jobs that run at once, or -1 for "
            "one on each core"
        )
    return n_jobs if n_jobs > 0 else max(1, count_cores() + 1 + n_jobs)
