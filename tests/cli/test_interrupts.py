"""A stop is heard wherever it arrives."""

import signal
import subprocess
import sys

import pytest

SWALLOWED = """
import os, signal, time, weakref
from cfa_lab.cli import interrupts

interrupts.listen()

class Thing: ...

def gone(_):
    os.kill(os.getpid(), signal.{name})
    time.sleep(0.05)

try:
    thing = Thing()
    reference = weakref.ref(thing, gone)
    del thing
    time.sleep(10)
    print("lost")
except KeyboardInterrupt:
    print("heard", interrupts.was_asked())
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_stop_in_a_callback_whose_exceptions_are_ignored_is_heard(name: str):
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED.format(name=name)],
        capture_output=True,
        text=True,
        timeout=100,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.stdout, done.stderr) == ("heard True\n", "")


def test_a_stop_that_a_library_swallows_ends_the_study_before_its_next_job(monkeypatch):
    from cfa_lab.cli import interrupts, task

    assert task._unless_stopped(7) == 7
    monkeypatch.setattr(interrupts, "_asked", True)
    with pytest.raises(KeyboardInterrupt):
        task._unless_stopped(7)


def test_a_signal_that_the_shell_ignores_stays_ignored():
    script = "import os, signal; from cfa_lab.cli import interrupts; interrupts.listen(); "
    script += "os.kill(os.getpid(), signal.SIGINT); print('on')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=100,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert done.stdout == "on\n"
