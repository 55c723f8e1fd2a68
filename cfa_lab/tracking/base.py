"""What a run tells about itself, and the tracker that listens and does nothing."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """The pictures of one test image: as it is, its anomaly map in colour, and both in one.

    `image`, `heat` and `overlay` are uint8 (h, w, 3); `mask` is bool (h, w), None where the data
    set has none. `label` is 0 for normal and 1 for defect; `group` is "false positive", "miss" or
    "typical".
    """

    path: str
    label: int
    defect: str
    score: float
    group: str
    image: np.ndarray
    heat: np.ndarray
    overlay: np.ndarray
    mask: np.ndarray | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """A line to draw: `x` and `y` are 1-D arrays of equal length, in drawing order."""

    x: np.ndarray
    y: np.ndarray
    x_label: str
    y_label: str
    title: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What a finished run found out.

    `metrics` has keys `test/...`, `threshold/...` and `oracle/...`, None where undefined; a row of
    `predictions` has the keys `path`, `label`, `defect`, `score` and `decision` (None without a
    threshold); `timing` has keys `time/..._seconds`; `model` names the files that hold the fitted
    detector, which nobody changes once the run has ended; `diagnostics` has keys `diagnostics/...`,
    None where there was nothing to count.
    """

    metrics: Mapping[str, float | None]
    predictions: Sequence[Mapping[str, object]]
    panels: Sequence[Panel]
    curves: Mapping[str, Curve]
    timing: Mapping[str, float]
    model: Sequence[Path] = ()
    diagnostics: Mapping[str, float | None] = field(default_factory=dict)


class Tracker:
    """Listens to one run and does nothing: the base of every tracker, and `tracker=none` itself.

    A tracker is entered before the first step and left after the last word; an exception that
    passes through `__exit__` marks the run as failed and goes on to the caller.
    """

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def log_step(self, row: Mapping[str, float]) -> None:
        """Take note of one training step; `row` has the columns of `history.csv`."""

    def log_evaluation(self, epoch: int, metrics: Mapping[str, float | None]) -> None:
        """Take note of metrics measured after `epoch` while training goes on; None is undefined."""

    def finish(self, outcome: Outcome) -> None:
        """Take note of the results; called once, and only by a run that succeeded."""


class Trackers(Tracker):
    """Several trackers as one: entered in order, left in reverse, each of them whatever happens."""

    def __init__(self, *trackers: Tracker) -> None:
        self.trackers = trackers
        self._stack = ExitStack()
        self.is_open = False

    def __enter__(self) -> "Trackers":
        with ExitStack() as stack:
            for tracker in self.trackers:
                stack.enter_context(tracker)
            self._stack = stack.pop_all()
        self.is_open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def log_step(self, row: Mapping[str, float]) -> None:
        for tracker in self.trackers:
            tracker.log_step(row)

    def log_evaluation(self, epoch: int, metrics: Mapping[str, float | None]) -> None:
        for tracker in self.trackers:
            tracker.log_evaluation(epoch, metrics)

    def finish(self, outcome: Outcome) -> None:
        for tracker in self.trackers:
            tracker.finish(outcome)
