"""One thing that takes time: how much of it is done, how fast, and how long the rest may take."""

import time

FEWEST = 2
"""Units after the first one, which has to load and compile, before an estimate means something."""
SOONEST = 1.0
"""Seconds after the first unit, likewise."""


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
