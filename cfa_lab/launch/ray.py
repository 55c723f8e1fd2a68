"""Jobs as tasks of Ray, here or on a cluster; one whose process or node dies ends its job only."""

import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from cfa_lab.errors import UserError
from cfa_lab.launch.board import Board, board
from cfa_lab.launch.ray_begun import Begun, begin, why_waiting
from cfa_lab.launch.task import End, LostJob, Task, unpacked

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_ANSWER = 10.0
SECONDS_TO_STOP = 20.0
"""What jobs get to write their state when the command is interrupted."""


def run_ray(
    tasks: Sequence[Task],
    *,
    address: str | None,
    num_cpus: float,
    num_gpus: float,
    retries: int,
    init: Mapping[str, Any],
    say: Callable[[str], None],
    tell: Callable[[Task, End], str],
) -> list[End]:
    """Run all tasks on a Ray; returns their ends in the same order.

    `address` None is the one that the environment names (`RAY_ADDRESS`), else a Ray of this machine
    that ends with the command. Other arguments of `ray.init` are in `init`.
    """
    ray = _connect(address, init)
    asked = {"CPU": num_cpus, "GPU": num_gpus}
    job = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=0)(begin)
    _warn_if_too_large(ray, asked, say)
    try:
        with board(len(tasks), say) as shown:
            jobs = _Jobs(ray, job, tasks, retries, shown, tell, asked)
            try:
                while jobs.left:
                    jobs.look()
            except KeyboardInterrupt:
                jobs.stop()
                raise
    finally:
        ray.shutdown()
    return [jobs.ends[number] for number in range(len(tasks))]


def _connect(address: str | None, init: Mapping[str, Any]) -> Any:
    # or a cluster that is lost is silently replaced by a new one of this machine; it is read as Ray
    # is imported
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise UserError(
            f"hydra/launcher=ray needs Ray ({error}); pip install 'cfa-lab[ray]'"
        ) from error
    asked = {"address": address, "log_to_driver": False, "logging_level": logging.WARNING, **init}
    try:
        _knock(address)
        ray.init(**asked)
    except Exception as error:  # of many classes, with many lines
        first = next((line for line in str(error).splitlines() if line.strip()), "no answer")
        where = address or "the one of this machine"
        raise UserError(
            f"Ray cannot be reached ({where}): {type(error).__name__}: {first.strip()}"
        ) from error
    return ray


def _knock(address: str | None) -> None:
    """Raise OSError where nobody listens, which Ray takes minutes to find out."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER).close()


def _warn_if_too_large(ray: Any, asked: Mapping[str, float], say: Callable[[str], None]) -> None:
    """Say what no node has, which Ray would wait for in silence."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for kind, amount in asked.items():
        if amount and all(node.get(kind, 0) < amount for node in nodes):
            most = max((node.get(kind, 0) for node in nodes), default=0)
            key = f"hydra.launcher.num_{kind.lower()}s"
            say(f"jobs cannot start as things are: {key}={amount:g}, and no node has over {most:g}")


class _Jobs:
    """The jobs that Ray has, by what they will return."""

    def __init__(
        self,
        ray: Any,
        job: Any,
        tasks: Sequence[Task],
        retries: int,
        shown: Board,
        tell: Callable[[Task, End], str],
        asked: Mapping[str, float],
    ):
        self._ray, self._job, self._tasks = ray, job, tasks
        self._retries, self._shown, self._tell, self._asked = retries, shown, tell, asked
        self._lost: Counter[int] = Counter()
        self._begun = Begun(ray)
        self.ends: dict[int, End] = {}
        self.left: dict[Any, int] = {self._hand_in(number): number for number in range(len(tasks))}

    def _hand_in(self, number: int) -> Any:
        """Let Ray have a job; returns what stands for its end."""
        mark = number, self._lost[number]
        return self._job.remote(self._tasks[number].call, self._begun.book, mark)

    def _show(self) -> None:
        """How many jobs run, and how many wait for what."""
        left = {(number, self._lost[number]) for number in self.left.values()}
        if (begun := self._begun.look()) is None:
            self._shown.state({"with Ray": len(left)})
            return
        waiting = len(left - begun)
        reason = why_waiting(self._ray, self._asked) if waiting else ""
        counts = {"running": len(left & begun), f"waiting{reason}": waiting}
        self._shown.state({state: count for state, count in counts.items() if count})

    def look(self) -> None:
        """See which jobs have ended, after waiting a little for one."""
        self._show()
        ready, _ = self._ray.wait(list(self.left), timeout=SECONDS_BETWEEN_LOOKS)
        for reference in ready:
            number = self.left.pop(reference)
            task = self._tasks[number]
            try:
                end = unpacked(self._ray.get(reference))
            except self._ray.exceptions.RayError as error:
                self._lost[number] += 1
                lost = LostJob(f"Ray lost it: {_first_sentence(error)}")
                if self._lost[number] <= self._retries:
                    self._shown.say(f"{task.name}: {lost}; it is started again")
                    self.left[self._hand_in(number)] = number
                    continue
                end = End(error=lost)
            self.ends[number] = end
            self._shown.say(f"{task.name}: {self._tell(task, end)}")
            self._shown.ended(end)

    def stop(self) -> None:
        """Let all jobs write where they stand, and end."""
        for reference in self.left:
            self._ray.cancel(reference, force=False)
        left = list(self.left)
        self._ray.wait(left, num_returns=len(left), timeout=SECONDS_TO_STOP)


def _first_sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].partition(". ")[0].rstrip(".") if lines else type(error).__name__
