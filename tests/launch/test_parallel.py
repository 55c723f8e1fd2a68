"""Jobs in kept processes of this machine: shot, failing, interrupted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cfa_lab.errors import UserError
from cfa_lab.launch.parallel import count_workers, run_parallel
from cfa_lab.launch.task import End, LostJob, Task, packed
from cfa_lab.launch.workers import Workers, died_of
from cfa_lab.records.environment import count_cores


def task(name: str, function: Any, *arguments: Any) -> Task:
    return Task(name=name, folder=Path(name), identity=name, call=packed(function, *arguments))


def python(name: str, code: str) -> Task:
    return task(name, exec, code)


def run(tasks: list[Task], *, num_workers: int = 2, retries: int = 1) -> tuple[list[End], str]:
    said: list[str] = []
    ends = run_parallel(tasks, num_workers=num_workers, retries=retries, say=said.append)
    return ends, "\n".join(said)


def test_every_job_has_its_own_end_in_the_order_of_the_jobs():
    failing = task("failing", int, "seven")
    ends, _ = run([task("slow", eval, "__import__('time').sleep(0.3) or 1"), failing, *numbers(4)])
    assert [end.value for end in ends] == [1, None, "0", "1", "2", "3"]
    assert isinstance(ends[1].error, ValueError)
    assert [end.is_good for end in ends] == [True, False, True, True, True, True]


def numbers(count: int) -> list[Task]:
    return [task(f"number {i}", str, i) for i in range(count)]


def test_processes_are_kept_for_many_jobs():
    ends, _ = run([task(f"job {i}", os.getpid) for i in range(12)])
    assert 1 <= len({end.value for end in ends}) <= 2
    assert os.getpid() not in {end.value for end in ends}


def test_processes_are_kept_for_the_next_launch():
    workers = Workers()
    settings: dict[str, Any] = {"num_workers": 2, "retries": 0, "workers": workers, "say": print}
    (first,) = run_parallel([task("pid", os.getpid)], **settings)
    (second,) = run_parallel([task("pid", os.getpid)], **settings)
    workers.close()
    assert first.value == second.value and not alive(first.value)


def test_a_killed_process_ends_its_own_job_only_and_the_job_is_tried_again(tmp_path: Path):
    shot = "import os; os.kill(os.getpid(), 9)"
    once = f"from pathlib import Path; p = Path({str(tmp_path / 'tried')!r})\n"
    once += f"if not p.exists():\n    p.touch()\n    {shot}"
    ends, said = run([python("once", once), python("always", shot), *numbers(6)])
    assert ends[0] == End(value=None)
    assert isinstance(ends[1].error, LostJob)
    assert str(ends[1].error) == "its process was killed by signal 9, 2 times"
    assert [end.value for end in ends[2:]] == [str(i) for i in range(6)]
    assert "once: its process was killed by signal 9; it is started again" in said


def test_a_process_that_leaves_is_told_by_its_exit_code():
    (end,), _ = run([python("leaving", "import os; os._exit(3)")], retries=0)
    assert str(end.error) == "its process ended with exit code 3"
    assert died_of(-signal.SIGSEGV) == "was killed by signal 11"


def test_an_idle_process_that_is_killed_loses_no_job(tmp_path: Path):
    """Its pid is left for the other process's job, which shoots it."""
    pid = tmp_path / "pid"
    leaving = f"import os; open({str(pid)!r}, 'w').write(str(os.getpid()))"
    shooting = f"""
import os, time
while not os.path.exists({str(pid)!r}) or not open({str(pid)!r}).read():
    time.sleep(0.02)
time.sleep(0.1)
os.kill(int(open({str(pid)!r}).read()), 9)
time.sleep(0.1)
"""
    ends, said = run([python("leaving", leaving), python("shooting", shooting)], retries=0)
    assert [end.error for end in ends] == [None, None]
    assert "started again" not in said


def test_what_cannot_travel_is_told():
    (end,), _ = run([task("open", open, os.devnull)])
    assert "what it returned cannot leave its process" in str(end.error)


COMMAND = """
from pathlib import Path
from cfa_lab.launch.parallel import run_parallel
from cfa_lab.launch.task import Task, packed

code = "import os, time; open({place!r} + str(os.getpid()), 'w'); time.sleep(600)"
task = Task(name="long", folder=Path("x"), identity="x", call=packed(exec, code))
run_parallel([task] * 2, num_workers=2, retries=0, say=print)
"""


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_command(tmp_path: Path, number: signal.Signals):
    program = COMMAND.replace("{place!r}", repr(f"{tmp_path}/"))
    command = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2:
        assert time.monotonic() < deadline and command.poll() is None
        time.sleep(0.02)
    command.send_signal(number)
    command.wait(timeout=60)
    while any(alive(int(path.name)) for path in tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_number_of_jobs_at_once():
    assert (count_workers(3), count_workers(-1)) == (3, count_cores())
    assert count_workers(-1000) == 1
    with pytest.raises(UserError, match=r"hydra\.launcher\.n_jobs is 0; allowed"):
        count_workers(0)
