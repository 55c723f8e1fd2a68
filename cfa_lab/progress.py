"""How far work has come: one live line on a terminal, a plain line now and then elsewhere.

Whoever works names a `phase` and counts; nothing is shown unless somebody opened `show_progress`,
as the command line does. Nothing here looks at what is computed, so no bit depends on it.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

QUIET_SECONDS = 15.0
"""Where there is no terminal: least time before a phase is heard of, and between two lines."""
LOOKS = 4
"""A second; how often a live line is drawn anew."""
WORTH_A_LINE = 2.0
"""Seconds; what took longer leaves a line behind when it is done."""
FEWEST = 2
"""Units after the first one, which has to load and compile, before an estimate means something."""
SOONEST = 1.0
"""Seconds after the first unit, likewise."""

Item = TypeVar("Item")


class Phase:
    """One thing that takes time: a name, and where it can be counted, how much of how much."""

    def __init__(
        self,
        name: str,
        total: int | None = None,
        unit: str = "",
        *,
        done: int = 0,
    ):
        self.name, self.total, self.unit = name, total, unit
        self.done = self.begun_at = done
        self.state = ""
        self._began = time.monotonic()
        self._away = 0.0
        self._left_at: float | None = None
        self._first: tuple[float, int] | None = None

    def advance(self, count: int = 1, *, state: str | None = None) -> None:
        """Take note of units done, and of a few words on how it goes."""
        self.reach(self.done + count, state=state)

    def reach(self, done: int, *, state: str | None = None) -> None:
        """The same by the number of all units done."""
        self.done = done
        if state is not None:
            self.state = state
        if self._first is None:
            self._first = (self.seconds, done)

    def skip(self, count: int = 1) -> None:
        """Take note of units that were done before, so that they do not count as fast ones."""
        self.done += count
        self.begun_at += count
        if self._first is not None:
            self._first = (self._first[0], self._first[1] + count)

    def pause(self) -> None:
        """Another phase has begun inside this one; its time is not this one's."""
        self._left_at = time.monotonic()

    def go_on(self) -> None:
        """The phase inside has ended."""
        if self._left_at is not None:
            self._away += time.monotonic() - self._left_at
            self._left_at = None

    @property
    def seconds(self) -> float:
        """Time spent, without that of phases inside."""
        now = self._left_at if self._left_at is not None else time.monotonic()
        return now - self._began - self._away

    @property
    def per_second(self) -> float:
        """Units a second, of all that were counted."""
        return (self.done - self.begun_at) / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the units after the first; None as long as it would mean nothing."""
        if self.total is None or self._first is None or self.done >= self.total:
            return None
        began, first = self._first
        spent, counted = self.seconds - began, self.done - first
        if counted < FEWEST or spent < SOONEST:
            return None
        return spent / counted * (self.total - self.done)

    def __str__(self) -> str:
        parts = [self._count(), self.state]
        counted = self.done - self.begun_at
        if counted and self.seconds >= SOONEST:
            parts.append(rate(self.per_second))
        left = self.seconds_left
        parts.append(f"{duration(self.seconds)}" + (f", {duration(left)} left" if left else ""))
        return f"{self.name}  {'  '.join(part for part in parts if part)}"

    def finished(self) -> str:
        """The line about a phase that is over."""
        counted = self.done - self.begun_at
        much = f"{counted} {self.unit}, ".replace(" ,", ",") if counted else ""
        fast = f" ({rate(self.per_second)})" if counted > 1 else ""
        return f"{self.name}: {much}{duration(self.seconds)}{fast}"

    def _count(self) -> str:
        if self.total is None and not self.unit:
            return ""
        total = "?" if self.total is None else self.total
        return f"{self.done}/{total} {self.unit}".rstrip()


class Display:
    """Whoever shows the innermost phase; this one is a plain line every `QUIET_SECONDS`."""

    seconds_between_looks = 1.0

    def __init__(self, say: Callable[[str], None], label: str):
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
            with suppress(IndexError):  # it may end just now
                self.look(_phases[-1])


class LiveLine(Display):
    """The innermost phase as the terminal's last line, which moves as long as the process lives."""

    seconds_between_looks = 1 / LOOKS

    def __init__(self, say: Callable[[str], None], label: str):
        super().__init__(say, label)
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


_phases: list[Phase] = []
_display: Display | None = None


@contextmanager
def phase(
    name: str,
    total: int | None = None,
    unit: str = "",
    *,
    done: int = 0,
) -> Generator[Phase]:
    """The body is a phase of this name, of `total` units, `done` of which are done already."""
    inner = begin_phase(Phase(name, total, unit, done=done))
    try:
        yield inner
    except BaseException:
        end_phase(inner, whole=False)
        raise
    end_phase(inner)


def begin_phase(inner: Phase) -> Phase:
    """Show a phase from now on, for those that cannot use a `with`."""
    if _phases:
        _phases[-1].pause()
    _phases.append(inner)
    if _display is not None:
        _display.began(inner)
    return inner


def end_phase(inner: Phase, *, whole: bool = True) -> None:
    """The phase is over, `whole` unless something went wrong."""
    _phases.remove(inner)
    if whole and _display is not None:
        _display.ended(inner)
    if _phases:
        _phases[-1].go_on()


def each(
    items: Iterable[Item], name: str, total: int | None = None, unit: str = "images"
) -> Generator[Item]:
    """The same items, counted as the one who asks for them is done with each."""
    if total == 0:
        yield from items
        return
    inner, whole = begin_phase(Phase(name, total, unit)), False
    try:
        for item in items:
            yield item
            inner.advance()
        whole = True
    except GeneratorExit:  # who knows the number need not ask whether there are more
        inner.advance()
        whole = inner.done == total
        raise
    finally:
        end_phase(inner, whole=whole)


@contextmanager
def show_progress(
    *, live: bool | None = None, label: str = "", say: Callable[[str], None] | None = None
) -> Generator[None]:
    """Show the phases of the body: one line that moves where standard error is a terminal.

    `live=False` leaves plain lines, `label` goes before each of them, `say` takes those that stay
    (standard error by default). Inside another one this does nothing.
    """
    global _display
    if _display is not None:
        yield
        return
    live = sys.stderr.isatty() if live is None else live
    _display = (LiveLine if live else Display)(say or print_line, label)
    between = begin_phase(Phase("working"))
    try:
        _display.start()
        yield
    finally:
        end_phase(between, whole=False)
        _display.stop()
        _display = None


def print_line(text: str) -> None:
    """A line on standard error, above the one that moves."""
    if _display is None:
        print(text, file=sys.stderr)
    else:
        _display.print(text)


class ConsoleHandler(logging.Handler):
    """Log records as lines on standard error, above the one that moves."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print_line(self.format(record))
        except Exception:
            self.handleError(record)


def rate(per_second: float) -> str:
    """Units a second, or a minute where they are slow."""
    if per_second >= 1:
        return f"{per_second:.3g}/s" if per_second < 1000 else f"{per_second:.0f}/s"
    return f"{60 * per_second:.2g}/min"


def duration(seconds: float) -> str:
    """Seconds in a few characters."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
