"""Processes of this machine that run jobs one after another, seen from outside."""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe

from cfa_lab.launch.task import End, LostJob, unpacked
from cfa_lab.progress import print_line

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


class Workers:
    """Idle processes, kept for the next job; those of the next launch, too."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []
        atexit.register(self.close)

    def take(self) -> Worker:
        """One that is kept, else a new one."""
        return self._idle.pop() if self._idle else Worker()

    def keep(self, worker: Worker) -> None:
        """Take one back whose job has ended."""
        self._idle.append(worker)

    def close(self) -> None:
        """End them all."""
        workers, self._idle = self._idle, []
        for worker in workers:
            worker.close()
        deadline = time.monotonic() + SECONDS_TO_STOP
        for worker in workers:
            worker.leave(deadline)


def died_of(code: int) -> str:
    """How a process ended, from its exit code: negative for a signal."""
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
