"""How far a long list of images has come: a bar on a terminal, a few lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any

QUIET_SECONDS = 15.0
"""Least time between two lines where there is no terminal."""


class Progress:
    """Counts images, with images per second and, where the total is known, the time left."""

    def __init__(self, total: int | None):
        self.total = total
        self.done = self._counted = 0
        self._bar: Any = None
        self._began = self._spoke = time.monotonic()

    def __enter__(self) -> "Progress":
        self._began = self._spoke = time.monotonic()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("scoring"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} images  {task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("scoring", total=self.total, rate="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    @property
    def per_second(self) -> float:
        """Images a second up to now."""
        return self._counted / max(time.monotonic() - self._began, 1e-9)

    def step(self, *, done: int) -> None:
        """Take note of an image scored, and of how many were there already."""
        self._counted += 1
        self.done = self._counted + done
        rate = f"{self.per_second:.1f} images/s"
        if self._bar:
            self._bar.update(self._task, completed=self.done, rate=rate)
            return
        now = time.monotonic()
        if now - self._spoke >= QUIET_SECONDS:
            self._spoke = now
            left = ""
            if self.total is not None:
                left = f", {(self.total - self.done) / self.per_second:.0f} s left"
            print(f"{self.done}/{self.total or '?'} images, {rate}{left}", file=sys.stderr)
