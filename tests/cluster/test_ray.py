"""The Ray launcher on a real Ray of two nodes, each `ray start` on the loopback."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.cluster import Launch, lines, task, until

from cfa_lab.errors import UserError
from cfa_lab.launch.ray import run_ray
from cfa_lab.launch.task import Task
from cfa_lab.progress import shown as progress

pytestmark = pytest.mark.cluster

MARK = "CFA_LAB_TEST_NODE"


class Cluster:
    """A head without cores, and nodes of two each."""

    def __init__(self, folder: Path):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._nodes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        head = ("--head", f"--port={self.port}", "--include-dashboard=false")
        self.add(*head, f"--temp-dir={self.folder}", num_cpus=0)
        until(self._is_up)
        for number in (1, 2):  # one by one: on a loaded machine two at once wait for each other
            self.add(f"--address={self.address}", num_cpus=2)
            until(lambda number=number: "Ray runtime started" in self.said(number))

    def said(self, number: int) -> str:
        return (self.folder / f"{number}.said").read_text()

    def add(self, *arguments: str, num_cpus: int) -> None:
        """Start a node."""
        number = len(self._nodes)
        with (self.folder / f"{number}.said").open("wb") as said:
            started = subprocess.Popen(
                [
                    *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
                    *("--node-ip-address=127.0.0.1", f"--num-cpus={num_cpus}", *arguments),
                    "--object-store-memory=100000000",
                ],
                stdout=said,
                stderr=said,
                env=os.environ | {MARK: self._mark(number)},
            )
        self._nodes.append(started)

    def kill(self, number: int) -> None:
        """Kill all that belongs to a node."""
        mark = f"{MARK}={self._mark(number)}\0"
        for process in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in process.read_text(errors="replace"):
                    os.kill(int(process.parent.name), signal.SIGKILL)
            except OSError:
                continue
        self._nodes[number].wait()

    def stop(self) -> None:
        for number in reversed(range(len(self._nodes))):
            self.kill(number)

    def _mark(self, number: int) -> str:
        return f"{self.folder.name}-{number}"

    def _is_up(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture(autouse=True, scope="module")
def there() -> Iterator[None]:
    """Ray, which reads how to authenticate when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "of-these-tests-" * 4)
        patch.delenv("RAY_ADDRESS", raising=False)
        pytest.importorskip("ray", reason="needs the extra `ray`")
        yield


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    # names of sockets are short, so this is not below tmp_path
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    found = Cluster(folder)
    try:
        found.start()
        yield found
    finally:
        found.stop()
        shutil.rmtree(folder)


def launch(tasks: list[Task], **settings: Any) -> Launch:
    defaults = {"num_cpus": 1, "num_gpus": 0, "retries": 2, "init": {}}
    return Launch(run_ray, tasks, **(defaults | settings))


def test_a_killed_process_and_a_lost_node_lose_no_job(cluster: Cluster, tmp_path: Path):
    gate = tmp_path / "gate"
    wait = f"note(str(os.getpid()))\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.1)"
    names = [f"job{i}" for i in range(5)]
    tasks = [task(tmp_path, name, wait) for name in names]
    tasks.append(task(tmp_path, "failing", "note('ran'); int('seven')"))
    launched = launch(tasks, address=cluster.address)
    until(lambda: launched.heard("") or sum(bool(lines(tmp_path, name)) for name in names) == 4)
    shot = next(name for name in names if lines(tmp_path, name))
    os.kill(int(lines(tmp_path, shot)[0]), signal.SIGKILL)
    until(lambda: launched.heard(f"{shot}: Ray lost it: .*; it is started again"))
    before = len(launched.said)
    cluster.kill(1)
    until(lambda: len(launched.said) > before)
    gate.touch()
    ends = launched.ends()
    assert [end.error for end in ends[:5]] == [None] * 5
    assert isinstance(ends[5].error, ValueError)
    assert lines(tmp_path, "failing") == ["ran"]
    assert sum(len(lines(tmp_path, name)) for name in names) > 5


def test_what_no_node_has_is_named(cluster: Cluster, tmp_path: Path):
    launched = launch([task(tmp_path, "job", "")], address=cluster.address, num_cpus=3)
    until(lambda: launched.heard("hydra.launcher.num_cpus=3, and no node has over 2"))
    cluster.add(f"--address={cluster.address}", num_cpus=3)
    assert launched.ends()[0].error is None


def states(launched: Launch, *wanted: str) -> None:
    """Wait until the live line has shown each of these."""
    seen: set[str] = set()

    def all_seen() -> bool:
        launched.heard("")
        seen.update(str(phase) for phase in progress._phases)
        return all(any(text in line for line in seen) for text in wanted)

    try:
        until(all_seen)
    except AssertionError:
        raise AssertionError(seen) from None


def test_the_live_line_tells_running_from_waiting_and_why(cluster: Cluster, tmp_path: Path):
    gate = tmp_path / "gate"
    wait = f"note('ran')\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.1)"
    tasks = [task(tmp_path, f"job{i}", wait) for i in range(6)]
    launched = launch(tasks, address=cluster.address)
    states(launched, "0/6 jobs  4 running, 2 waiting (no CPU free)")
    cluster.kill(1)  # what ran there waits again
    states(launched, "0/6 jobs  2 running, 4 waiting (no CPU free)")
    gate.touch()
    assert [end.error for end in launched.ends()] == [None] * 6
    launched = launch([task(tmp_path, "large", "")], address=cluster.address, num_cpus=3)
    states(launched, "0/1 jobs  1 waiting (no node has 3 CPU)")
    cluster.add(f"--address={cluster.address}", num_cpus=3)
    assert launched.ends()[0].error is None


LOST = """
from cfa_lab.launch.ray import _connect
ray = _connect(None, {})
ray.shutdown()  # as where the connection is lost
for ask in (ray.nodes, ray.available_resources, lambda: ray.put(1)):
    try:
        ask()
    except Exception as error:
        print(type(error).__name__)
print(ray.is_initialized())
"""


def test_a_ray_that_is_lost_is_not_replaced_by_another_one(tmp_path: Path):
    """Without `RAY_ENABLE_AUTO_CONNECT=0`, any call would start one of this machine, and jobs
    would run there."""
    command = [sys.executable, "-c", LOST]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    *errors, running = done.stdout.split()
    assert len(errors) == 3 and running == "False", done.stdout + done.stderr


def test_a_ray_that_is_not_there_is_one_line(tmp_path: Path):
    launched = launch([task(tmp_path, "job", "")], address="127.0.0.1:9")
    with pytest.raises(UserError, match=r"^Ray cannot be reached \(127.0.0.1:9\): ") as caught:
        launched.ends()
    assert "\n" not in str(caught.value)


def test_a_ray_of_this_machine_comes_and_goes(tmp_path: Path):
    tasks = [task(tmp_path, f"job{i}", "note('ran')") for i in range(3)]
    assert [end.error for end in launch(tasks, address=None).ends()] == [None] * 3
    assert [lines(tmp_path, f"job{i}") for i in range(3)] == [["ran"]] * 3
