"""The trials of a search, kept by Optuna: drawn, recorded, and taken up again after a kill.

A point is one place of the search space. It has a trial for each time it was tried; the last one
counts. All that is decided is decided under a lock that ends with its process.
"""

import logging
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from cfa_lab.errors import UserError

try:
    import optuna
    from optuna.study import StudyDirection
    from optuna.trial import FrozenTrial, Trial, TrialState

    from cfa_lab.study.sampling import make_sampler
    from cfa_lab.study.storage import open_storage, told_of
except ModuleNotFoundError as error:
    raise UserError("a search needs Optuna: pip install 'cfa-lab[search]'") from error

log = logging.getLogger(__name__)

FOLDER = ".searches"
"""Below the root of studies; holds what a search remembers, and its locks."""
ORIGIN, OWNER, ERROR, ENDED = "point", "owner", "error", "ended"
"""Attributes of trials: the point's first trial, the process at it, why it failed, and whether that
was its process's end."""
MOST_ENDS = 3
"""How often a point may take its process along before the others come first."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A place in the search space, and what became of it."""

    trials: list[FrozenTrial]

    @property
    def number(self) -> int:
        return self.trials[0].number

    @property
    def last(self) -> FrozenTrial:
        return self.trials[-1]

    @property
    def failed(self) -> bool:
        return self.last.state is TrialState.FAIL

    @property
    def complete(self) -> bool:
        return self.last.state is TrialState.COMPLETE

    @property
    def error(self) -> str:
        return str(self.last.user_attrs.get(ERROR, "no reason was left"))

    @property
    def to_be_taken_up(self) -> bool:
        """Whether it ended with its process, and not too often."""
        ends = sum(ENDED in trial.user_attrs for trial in self.trials)
        return self.failed and ENDED in self.last.user_attrs and ends < MOST_ENDS


class Trials:
    """The trials of one search; processes that see the same folder share it."""

    def __init__(
        self,
        root: Path,
        name: str,
        *,
        space: Mapping[str, Any],
        directions: Sequence[str],
        sampler: Mapping[str, Any],
        identity: str = "",
        storage: str | None = None,
    ):
        """`root` is the studies' root, `storage` the URL of a database or a journal's path.

        `identity` stands for all that decides what comes out of a point.

        Raises UserError where what is stored cannot be read, or is another search.
        """
        if not re.fullmatch(r"[\w.-]+", name):
            raise UserError(
                f"hydra.sweeper.study_name is {name!r}; allowed: letters, digits, . _ and -"
            )
        self._place, self._name = root / FOLDER, name
        self._space, self._sampler = dict(space), dict(sampler)
        self._place.mkdir(parents=True, exist_ok=True)
        self._owner = uuid4().hex
        self._alive = FileLock(self._lock_of(self._owner))
        self._alive.acquire()
        self._tried: set[int] = set()
        make_sampler(self._sampler, 0)  # its mistakes before anything is written
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self._held(), told_of(storage or str(self._journal)):
            self.study = optuna.create_study(
                storage=open_storage(storage, self._journal),
                study_name=name,
                directions=[StudyDirection[name.upper()] for name in directions],
                load_if_exists=True,
            )
            self._refuse_other(identity)
        self._before = len(self._all())

    def close(self) -> None:
        """Leave the search; what is not done is taken up by the next process."""
        self._alive.release()
        with suppress(OSError):
            self._lock_of(self._owner).unlink(missing_ok=True)

    def points(self) -> list[Point]:
        """Every point that was drawn, in order."""
        tried: dict[int, list[FrozenTrial]] = {}
        for trial in self._all():
            if ORIGIN in trial.user_attrs or set(trial.params) == set(self._space):
                tried.setdefault(trial.user_attrs.get(ORIGIN, trial.number), []).append(trial)
        return [Point(trials=trials) for trials in tried.values()]

    def best(self) -> list[FrozenTrial]:
        """Complete trials, best first; of several metrics those that none other beats in all."""
        if len(self.study.directions) > 1:
            return self.study.best_trials
        complete = [point.last for point in self.points() if point.complete]
        sign = -1 if self.study.direction is StudyDirection.MAXIMIZE else 1
        return sorted(complete, key=lambda trial: sign * (trial.value or 0.0))

    def take(self, num_points: int) -> Trial | None:
        """The next trial for this process; None if it has none of `num_points` left to do.

        First what ended with its process, then new points, last what failed before this process
        began.
        """
        with self._held():
            self._end_the_dead()
            points = self.points()
            lost = [point for point in points if point.to_be_taken_up]
            failed = [
                point
                for point in points
                if point.failed
                and point.last.number < self._before
                and point.number not in self._tried
            ]
            if not lost and not self._waiting() and len(points) < num_points:
                return self._ask(len(points))
            if again := [*lost, *([] if self._waiting() else failed)][:1]:
                point = again[0]
                self._tried.add(point.number)
                self.study.enqueue_trial(point.last.params, user_attrs={ORIGIN: point.number})
            return self._ask(len(points)) if self._waiting() else None

    def complete(self, trial: Trial, values: Sequence[float]) -> None:
        """Record what came out."""
        self.study.tell(trial, list(values))

    def fail(self, trial: Trial, error: str) -> None:
        """Record that nothing came out, and why."""
        trial.set_user_attr(ERROR, error)
        self.study.tell(trial, state=TrialState.FAIL)

    def _ask(self, num_points: int) -> Trial:
        self.study.sampler = make_sampler(self._sampler, num_points)
        trial = self.study.ask(self._space)
        trial.set_user_attr(OWNER, self._owner)
        return trial

    def _all(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _waiting(self) -> bool:
        return any(trial.state is TrialState.WAITING for trial in self._all())

    def _end_the_dead(self) -> None:
        """Record trials as failed whose process is gone."""
        for trial in self._all():
            if trial.state is TrialState.RUNNING and not self._lives(trial.user_attrs.get(OWNER)):
                with suppress(ValueError):  # told by somebody else meanwhile
                    given = Trial(self.study, trial._trial_id)  # pyright: ignore[reportPrivateUsage]
                    given.set_user_attr(ERROR, "its process ended")
                    given.set_user_attr(ENDED, True)
                    self.study.tell(given, state=TrialState.FAIL)

    def _lives(self, owner: str | None) -> bool:
        """Whether a process still holds its lock; one that is gone left a file, or nothing."""
        if owner == self._owner:
            return True
        if owner is None or not (path := self._lock_of(owner)).is_file():
            return False
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return False

    def _refuse_other(self, identity: str) -> None:
        """A name stands for one search: values of another one would be compared with these."""
        if (before := self.study.user_attrs.get("identity")) is None:
            self.study.set_user_attr("identity", identity)
        elif before != identity:
            raise UserError(
                f"the search {self._name} was begun with other settings, images or another space; "
                "choose another hydra.sweeper.study_name or leave it out"
            )

    @property
    def _journal(self) -> Path:
        return self._place / f"{self._name}.journal"

    def _lock_of(self, owner: str) -> Path:
        return self._place / f"{self._name}.{owner}.lock"

    @contextmanager
    def _held(self) -> Generator[None]:
        with FileLock(self._place / f"{self._name}.lock"):
            yield
