import subprocess
import sys
from collections.abc import Mapping

import pytest

from cfa_lab.tracking import Outcome, Tracker, Trackers


class Recorder(Tracker):
    """Writes down what it hears, in a list shared with others."""

    def __init__(self, name: str, heard: list[tuple], *, breaks_on: str = "") -> None:
        self.name, self.heard, self.breaks_on = name, heard, breaks_on

    def _hear(self, event: str, *what: object) -> None:
        self.heard.append((self.name, event, *what))
        if event == self.breaks_on:
            raise OSError(f"{self.name} breaks on {event}")

    def __enter__(self) -> "Recorder":
        self._hear("enter")
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._hear("exit", kind)

    def log_step(self, row: Mapping[str, float]) -> None:
        self._hear("step", row)

    def log_evaluation(self, epoch: int, metrics: Mapping[str, float | None]) -> None:
        self._hear("evaluation", epoch, metrics)

    def finish(self, outcome: Outcome) -> None:
        self._hear("finish", outcome)


def test_several_trackers_hear_the_same_in_order_and_leave_in_reverse(outcome):
    heard: list[tuple] = []
    with Trackers(Recorder("a", heard), Recorder("b", heard)) as trackers:
        trackers.log_step({"step": 0})
        trackers.log_evaluation(3, {"test/image_auroc": None})
        trackers.finish(outcome)
    assert heard == [
        ("a", "enter"),
        ("b", "enter"),
        ("a", "step", {"step": 0}),
        ("b", "step", {"step": 0}),
        ("a", "evaluation", 3, {"test/image_auroc": None}),
        ("b", "evaluation", 3, {"test/image_auroc": None}),
        ("a", "finish", outcome),
        ("b", "finish", outcome),
        ("b", "exit", None),
        ("a", "exit", None),
    ]


def test_a_failing_body_reaches_every_tracker_and_the_caller():
    heard: list[tuple] = []
    with (
        pytest.raises(KeyboardInterrupt),
        Trackers(Recorder("a", heard), Recorder("b", heard)),
    ):
        raise KeyboardInterrupt
    assert heard[2:] == [("b", "exit", KeyboardInterrupt), ("a", "exit", KeyboardInterrupt)]


def test_a_tracker_that_breaks_on_leaving_does_not_keep_another_from_leaving():
    heard: list[tuple] = []
    with (
        pytest.raises(OSError, match="b breaks"),
        Trackers(Recorder("a", heard), Recorder("b", heard, breaks_on="exit")),
    ):
        pass
    assert heard[-1][:2] == ("a", "exit")


def test_a_tracker_that_cannot_be_entered_lets_the_entered_ones_leave():
    heard: list[tuple] = []
    with (
        pytest.raises(OSError, match="b breaks"),
        Trackers(Recorder("a", heard), Recorder("b", heard, breaks_on="enter")),
    ):
        pytest.fail("the body must not run")
    assert heard[-1] == ("a", "exit", OSError)


def test_no_trackers_at_all_and_the_base_tracker_accept_everything(outcome):
    with Trackers() as none, Tracker() as base:
        for tracker in (none, base):
            tracker.log_step({"step": 0})
            tracker.log_evaluation(0, {})
            tracker.finish(outcome)


def test_importing_the_room_loads_no_heavy_library():
    code = "import sys, cfa_lab.tracking; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"wandb", "matplotlib", "torch", "pandas", "hydra"} & set(answer.stdout.split())
