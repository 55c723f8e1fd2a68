"""Phases as they begin and end inside each other, and whoever shows the innermost one."""

import logging
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TypeVar

from cfa_lab.progress.displays import Display, LiveLine
from cfa_lab.progress.measured import Phase

Item = TypeVar("Item")

_phases: list[Phase] = []
_display: Display | None = None


def _innermost() -> Phase | None:
    try:
        return _phases[-1]
    except IndexError:  # it has ended just now
        return None


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
    _display = (LiveLine if live else Display)(say or print_line, label, _innermost)
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
