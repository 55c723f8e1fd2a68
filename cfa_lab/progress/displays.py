"""What is shown of a phase: one live line on a terminal, a plain line now and then elsewhere."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from cfa_lab.progress.measured import Phase

QUIET_SECONDS = 15.0
"""Where there is no terminal: least time before a phase is heard of, and between two lines."""
LOOKS = 4
"""A second; how often a live line is drawn anew."""
WORTH_A_LINE = 2.0
"""Seconds; what took longer leaves a line behind when it is done."""


class Display:
    """Whoever shows the innermost phase; this one is a plain line every `QUIET_SECONDS`."""

    seconds_between_looks = 1.0

    def __init__(
        self, say: Callable[[str], None], label: str, innermost: Callable[[], Phase | None]
    ):
        self._innermost = innermost
        self._say, self.label = say, f"{label}: " if label else ""
        self._spoke = time.monotonic()
        self._ends = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)

    def start(self) -> None:
        self._ticker.start()

    def stop(self) -> None:
        self._ends.set()
        self._ticker.join()

    def began(self, phase: Phase) -> None:
        """A phase begins."""
        self._spoke = time.monotonic()

    def ended(self, phase: Phase) -> None:
        """A phase is over."""
        if phase.seconds >= WORTH_A_LINE:
            self._spoke = time.monotonic()
            self._say(f"{self.label}{phase.finished()}")

    def print(self, text: str) -> None:
        """A line of somebody else's."""
        print(text, file=sys.stderr)

    def look(self, phase: Phase) -> None:
        """Show where a phase stands."""
        if time.monotonic() - self._spoke >= QUIET_SECONDS:
            self._spoke = time.monotonic()
            self._say(f"{self.label}{phase}")

    def _tick(self) -> None:
        while not self._ends.wait(self.seconds_between_looks):
            if (phase := self._innermost()) is not None:
                self.look(phase)


class LiveLine(Display):
    """The innermost phase as the terminal's last line, which moves as long as the process lives."""

    seconds_between_looks = 1 / LOOKS

    def __init__(
        self, say: Callable[[str], None], label: str, innermost: Callable[[], Phase | None]
    ):
        super().__init__(say, label, innermost)
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._console = Console(stderr=True, highlight=False, markup=False)
        self._bar = Progress(
            SpinnerColumn("line", style="none"),
            BarColumn(bar_width=20),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
            auto_refresh=False,  # our own thread draws
        )
        self._task: Any = self._bar.add_task("", total=None)

    def start(self) -> None:
        self._bar.start()
        super().start()

    def stop(self) -> None:
        super().stop()
        self._bar.stop()

    def began(self, phase: Phase) -> None:
        self.look(phase)

    def print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

    def look(self, phase: Phase) -> None:
        shown = f"{self.label}{phase}"
        self._bar.update(
            self._task,
            description=shown,
            total=phase.total,
            completed=phase.done,
            visible=True,
            refresh=True,
        )
