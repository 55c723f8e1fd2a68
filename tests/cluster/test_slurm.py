"""The Slurm launcher on a real Slurm without accounting: what happens to jobs, nodes, commands."""

import os
import signal
import subprocess
import sys

import pytest
from helpers.cluster import Slurm, until

from cfa_lab.errors import UserError
from cfa_lab.launch.slurm.watch import cancel_slurm, live_jobs
from cfa_lab.launch.task import LostJob, Task

pytestmark = pytest.mark.cluster

LONG = "note(str(os.getpid())); time.sleep(300)"
SHORT = "note('ran')"
GATED = "note(str(os.getpid()))\nwhile not os.path.exists({gate!r}): time.sleep(0.1)"


def short(slurm: Slurm, count: int) -> list[Task]:
    return [slurm.task(f"short{i}", SHORT) for i in range(count)]


def test_forty_jobs_go_in_as_arrays_that_slurm_takes(slurm: Slurm):
    launch = slurm.launch(short(slurm, 40))
    assert [end.error for end in launch.ends()] == [None] * 40
    assert [slurm.lines(f"short{i}") for i in range(40)] == [["ran"]] * 40
    assert launch.heard(r"Slurm has 20 jobs as \d+, in ")


def test_a_cancelled_job_ends_alone(slurm: Slurm):
    waiting = [slurm.task(f"wait{i}", "time.sleep(3)") for i in range(4)]
    launch = slurm.launch([slurm.task("long", LONG), *waiting, slurm.task("last", SHORT)])
    slurm.pid("long")
    array = slurm.jobs("RUNNING")[0].partition("_")[0]
    slurm.ask("scancel", f"{array}_0", f"{array}_5")
    ends = launch.ends()
    assert [type(end.error) for end in ends[:5]] == [LostJob, *[type(None)] * 4]
    assert str(ends[0].error).startswith("was cancelled while it ran; what it said: ")
    assert str(ends[5].error) == "was cancelled before it began"


def test_a_killed_job_is_handed_in_again(slurm: Slurm):
    code = f"note(str(os.getpid()))\nif len(open({str(slurm.place / 'shot')!r}).readlines()) < 2:\n"
    code += "    time.sleep(300)"
    launch = slurm.launch([slurm.task("shot", code), *short(slurm, 3)])
    os.kill(slurm.pid("shot"), signal.SIGKILL)
    assert [end.error for end in launch.ends()] == [None] * 4
    assert len(slurm.lines("shot")) == 2
    assert launch.heard("shot: was killed by signal 9; it is handed in again")


def test_a_job_that_is_always_killed_is_told(slurm: Slurm):
    launch = slurm.launch([slurm.task("shot", "os.kill(os.getpid(), 9)")], retries=1)
    (end,) = launch.ends()
    assert str(end.error).startswith("was killed by signal 9; what it said: ")


def test_a_lost_node_loses_no_job(slurm: Slurm):
    gate = str(slurm.place / "gate")
    code = GATED.format(gate=gate)
    launch = slurm.launch([slurm.task(f"job{i}", code) for i in range(4)])
    until(lambda: len(slurm.jobs("RUNNING")) == 4)
    until(lambda: all(slurm.lines(f"job{i}") for i in range(4)))
    slurm.lose_node("n1")
    until(lambda: "DOWN" in slurm.ask("scontrol", "show", "node", "n1"))
    until(lambda: slurm.jobs("PENDING"))
    (slurm.place / "gate").touch()
    slurm.heal_node("n1")
    slurm.hurry()
    assert [end.error for end in launch.ends()] == [None] * 4
    assert sorted(len(slurm.lines(f"job{i}")) for i in range(4)) == [1, 1, 2, 2]


def test_a_job_at_its_time_limit_goes_on_only_if_it_got_on(slurm: Slurm):
    """Runs leave `state.safetensors`; the limit is a minute, Slurm's shortest."""
    folder = slurm.place / "run-moving"
    state = f"os.makedirs({str(folder)!r}, exist_ok=True)\n"
    state += f"open({str(folder / 'state.safetensors')!r}, 'a').write('epoch')\n"
    moving = f"note('try')\n{state}"
    moving += f"if len(open({str(slurm.place / 'moving')!r}).readlines()) < 2: time.sleep(300)"
    stuck = "note('try'); time.sleep(300)"
    tasks = [slurm.task("moving", moving), slurm.task("stuck", stuck)]
    launch = slurm.launch(tasks, timeout_min=1)
    ends = launch.ends(seconds=240)
    assert ends[0].error is None
    assert launch.heard(r"moving: reached its limit of 1 min .*; it is handed in again")
    assert "reached its limit of 1 min (hydra.launcher.timeout_min) before its run got on" in str(
        ends[1].error
    )
    assert (len(slurm.lines("moving")), len(slurm.lines("stuck"))) == (2, 1)


def test_a_job_that_is_pushed_away_comes_back(slurm: Slurm):
    gate = slurm.place / "gate"
    launch = slurm.launch([slurm.task(f"job{i}", GATED.format(gate=str(gate))) for i in range(4)])
    until(lambda: all(slurm.lines(f"job{i}") for i in range(4)))
    urgent = ["--partition=urgent", "--cpus-per-task=2", "--output=/dev/null", "--wrap=sleep 6"]
    slurm.ask("sbatch", *urgent)
    until(lambda: len(slurm.jobs("PENDING")) == 2)
    gate.touch()
    slurm.hurry()
    assert [end.error for end in launch.ends()] == [None] * 4
    assert sum(len(slurm.lines(f"job{i}")) for i in range(4)) == 6


COMMAND = """
import sys
from pathlib import Path
from cfa_lab.cli import interrupts
from helpers.cluster import Slurm, run_slurm
interrupts.listen()
place = Path({place!r})
slurm = Slurm(place, place, place)
tasks = [slurm.task(f"job{{i}}", {code!r}) for i in range(6)]
def tell(task, end): return "ended"
run_slurm(tasks, root=place, options=slurm.options(), say=lambda t: print(t, flush=True), tell=tell)
"""


def command(slurm: Slurm, code: str) -> subprocess.Popen[str]:
    """The launcher as a process, so that it can be killed."""
    program = COMMAND.format(place=str(slurm.place), code=code)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_that_ended_is_started_again_and_hands_in_nothing_twice(
    slurm: Slurm, number: signal.Signals
):
    gate = slurm.place / "gate"
    code = GATED.format(gate=str(gate))
    first = command(slurm, code)
    until(lambda: len(slurm.jobs("RUNNING")) == 4)
    first.send_signal(number)
    said = first.communicate(timeout=60)[0]
    if number == signal.SIGTERM:
        assert "6 jobs stay with Slurm; the same command goes on with them" in said
    assert len(slurm.jobs("RUNNING", "PENDING")) == 6
    second = command(slurm, code)
    assert second.stdout is not None
    assert "6 jobs are with Slurm already" in second.stdout.readline()
    gate.touch()
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert [len(slurm.lines(f"job{i}")) for i in range(6)] == [1] * 6


def test_the_number_of_an_array_is_found_where_its_command_could_not_note_it(slurm: Slurm):
    tasks = [slurm.task("long", LONG)]
    launch = slurm.launch(tasks)
    slurm.pid("long")
    (noted,) = slurm.place.glob(".slurm/*/id")
    number = noted.read_text()
    noted.unlink()
    assert live_jobs(tasks, slurm.place)[0].id == f"{number}_0"
    assert cancel_slurm(tasks, root=slurm.place) == 1
    (end,) = launch.ends()
    assert "was cancelled" in str(end.error)


def test_cancelling_ends_the_jobs_of_this_command_only(slurm: Slurm):
    own, other = slurm.task("own", LONG), slurm.task("other", LONG)
    launches = [slurm.launch([own]), slurm.launch([other])]
    assert slurm.pid("own") != slurm.pid("other")
    assert cancel_slurm([own, slurm.task("never", LONG)], root=slurm.place) == 1
    assert "was cancelled" in str(launches[0].ends()[0].error)
    assert len(slurm.jobs("RUNNING")) == 1
    assert cancel_slurm([own], root=slurm.place) == 0
    assert cancel_slurm([other], root=slurm.place) == 1
    launches[1].ends()


def test_a_job_that_can_never_start_is_named(slurm: Slurm):
    task = slurm.task("never", SHORT)
    launch = slurm.launch([task], timeout_min=100)
    until(lambda: launch.heard("1 jobs cannot start as things are: Slurm says PartitionTimeLimit"))
    assert cancel_slurm([task], root=slurm.place) == 1
    assert str(launch.ends()[0].error) == "was cancelled before it began"


@pytest.mark.parametrize(
    "asked, said",
    [
        ({"partition": "nowhere"}, "invalid partition specified: nowhere"),
        ({"cpus_per_task": 3}, "CPU count per node can not be satisfied"),
        ({"gpus_per_node": 1}, "Invalid generic resource"),
    ],
)
def test_what_slurm_refuses_is_one_line_and_leaves_nothing(slurm: Slurm, asked: dict, said: str):
    launch = slurm.launch([slurm.task("never", SHORT)], **asked)
    with pytest.raises(UserError, match=f"^Slurm takes no jobs: {said}"):
        launch.ends()
    assert not list(slurm.place.glob(".slurm/cfa_lab-*"))


def test_a_controller_that_is_away_does_not_hide_what_jobs_leave(slurm: Slurm):
    gate = slurm.place / "gate"
    launch = slurm.launch([slurm.task("job", GATED.format(gate=str(gate)))])
    slurm.pid("job")
    os.kill(slurm.daemon("slurmctld"), signal.SIGKILL)
    until(lambda: launch.heard("Slurm does not answer"))
    gate.touch()
    assert launch.ends()[0].error is None


def test_waiting_is_shown_with_its_reason(slurm: Slurm):
    from cfa_lab.progress import shown as progress

    tasks = [slurm.task(f"job{i}", "time.sleep(2)") for i in range(6)]
    launch = slurm.launch(tasks)
    seen: set[str] = set()

    def all_ended() -> bool:
        seen.update(str(phase) for phase in progress._phases)
        return all(launch.heard(f"job{i}: ") for i in range(6))

    until(all_ended)
    launch.ends()
    assert any("4 running, 2 waiting (Resources)" in text for text in seen), seen
