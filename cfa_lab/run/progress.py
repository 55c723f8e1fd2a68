"""What a run shows while it works: a bar on a terminal, a few quiet lines elsewhere."""

import logging
import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType

from cfa_lab.records.history import ATTRACTION_AFTER, Row
from cfa_lab.training.order import epoch_order
from cfa_lab.training.state import Fit

log = logging.getLogger(__name__)

QUIET_SECONDS = 15.0
"""Least time between two lines where there is no terminal."""


class TrainingProgress(AbstractContextManager["TrainingProgress"]):
    """Shows how far a training of `total` steps, or images where it is one pass, has come."""

    def __init__(self, total: int, unit: str, *, done: int = 0):
        self.total = total
        self.unit = unit
        self.begun_at = done
        self._bar = None
        self._began = self._spoke = time.monotonic()

    @classmethod
    def of(cls, fit: Fit) -> "TrainingProgress":
        """The progress of a fit from where it stands."""
        num_images = len(fit.levels[0])
        if fit.optimizer is None:
            return cls(num_images, "image", done=fit.next_image)
        per_epoch = len(epoch_order(fit.settings, num_images, seed=fit.seed, epoch=0))
        return cls(fit.settings.trainer.epochs * per_epoch, "step", done=fit.next_step)

    def __enter__(self) -> "TrainingProgress":
        self._began = self._spoke = time.monotonic()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}  {task.fields[state]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(
                "training", total=self.total, completed=self.begun_at, state=""
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
        """Take note of a finished step, or of a solution."""
        if (after := row.get(ATTRACTION_AFTER)) is not None:
            log.info("solved: attraction %.4g -> %.4g", row["train/attraction"], after)
        else:
            state = f"loss {row['train/loss']:.4g}  r {row['train/radius']:.3g}"
            self._show(int(row["step"]) + 1, state)

    def image(self, done: int) -> None:
        """Take note of an image that a solution is made from."""
        self._show(done, "")

    def _show(self, done: int, state: str) -> None:
        if self._bar:
            self._bar.update(self._task, completed=done, state=state)
            return
        now = time.monotonic()
        if now - self._spoke >= QUIET_SECONDS or (done == self.total and state):
            self._spoke = now
            left = (now - self._began) / (done - self.begun_at) * (self.total - done)
            log.info("%s %d/%d  %s  %.0f s left", self.unit, done, self.total, state, left)
