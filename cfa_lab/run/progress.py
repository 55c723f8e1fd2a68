"""What a run shows while it works: a bar on a terminal, a few quiet lines elsewhere."""

import logging
import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType

from cfa_lab.records.history import Row

log = logging.getLogger(__name__)

QUIET_SECONDS = 15.0
"""Least time between two lines where there is no terminal."""


class TrainingProgress(AbstractContextManager["TrainingProgress"]):
    """Shows loss, radius and time left of a training of `num_steps` steps."""

    def __init__(self, num_steps: int, *, first_step: int = 0):
        self.num_steps = num_steps
        self.first_step = first_step
        self._bar = None
        self._began = self._spoke = time.monotonic()

    def __enter__(self) -> "TrainingProgress":
        self._began = self._spoke = time.monotonic()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}  loss {task.fields[loss]:.4g}"),
                TextColumn("r {task.fields[radius]:.3g}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(
                "training", total=self.num_steps, completed=self.first_step, loss=0.0, radius=0.0
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def step(self, row: Row) -> None:
        """Take note of a finished step."""
        done = int(row["step"]) + 1
        loss, radius = row["train/loss"], row["train/radius"]
        if self._bar:
            self._bar.update(self._task, completed=done, loss=loss, radius=radius)
            return
        now = time.monotonic()
        if now - self._spoke >= QUIET_SECONDS or done == self.num_steps:
            self._spoke = now
            rate = (now - self._began) / (done - self.first_step)
            log.info(
                "step %d/%d  loss %.4g  r %.3g  %.0f s left",
                *(done, self.num_steps, loss, radius, rate * (self.num_steps - done)),
            )
