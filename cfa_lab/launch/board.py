"""What is shown while jobs run elsewhere: a line that counts them, and lines about single ones."""

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from cfa_lab.launch.task import End
from cfa_lab.progress import Phase, phase, show_progress


class Board:
    """Counts jobs on the live line: done, running, waiting and why, failed, time left."""

    def __init__(self, shown: Phase, say: Callable[[str], None]):
        self._shown = shown
        self.say = say
        self._failed = 0
        self._state: dict[str, int] = {}

    def ended(self, end: End) -> None:
        """One more job has ended."""
        self._failed += not end.is_good
        self._shown.advance(state=self._text())

    def state(self, counts: Mapping[str, int]) -> None:
        """How many jobs are in each state, as `running` or `waiting (Resources)`."""
        self._state = dict(counts)
        self._shown.state = self._text()

    def _text(self) -> str:
        counts = Counter(self._state) + Counter({"failed": self._failed})
        return ", ".join(f"{count} {state}" for state, count in counts.items())


@contextmanager
def board(total: int, say: Callable[[str], None]) -> Generator[Board]:
    """The live line of `total` jobs for as long as the body lasts; `say` takes whole lines."""
    with show_progress(say=say), phase("jobs", total, "jobs") as shown:
        yield Board(shown, say)
