"""The trials of a search, kept by Optuna: drawn, recorded, and taken up again after a kill.

A point is one place of the search space. It has a trial for each time it was tried; the last one
counts. All that is decided is decided under a lock that ends with its process.
"""

import hashlib
import logging
import re
import warnings
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
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    from optuna.trial import FrozenTrial, Trial, TrialState
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
SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
    "gp": "GPSampler",
    "nsgaii": "NSGAIISampler",
    "cmaes": "CmaEsSampler",
}
ONE_SEED = ("qmc",)
"""Samplers whose points are one sequence; the others are seeded anew for each point."""


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
        self.sampler(0)  # its mistakes before anything is written
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self._held(), _told(storage or str(self._journal)):
            self.study = optuna.create_study(
                storage=self._open(storage),
                study_name=name,
                directions=list(directions),
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
        sign = -1 if self.study.direction is optuna.study.StudyDirection.MAXIMIZE else 1
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

    def sampler(self, num_points: int) -> optuna.samplers.BaseSampler:
        """The sampler of the next point, which depends on how many there are and what they gave.

        So a search that was started again draws what it would have drawn, and no point twice.
        """
        options = {key: value for key, value in self._sampler.items() if key != "name"}
        name, seed = self._sampler.get("name"), options.pop("seed", 0)
        if name not in SAMPLERS:
            raise UserError(
                f"hydra.sweeper.sampler.name is {name!r}; allowed: {', '.join(SAMPLERS)}"
            )
        if (
            name == "tpe"
        ):  # others' unfinished points count as bad ones, so that nobody repeats them
            options = {"constant_liar": True, **options}
        text = f"{seed}" if name in ONE_SEED else f"{seed}/{num_points}"
        digest = hashlib.sha256(text.encode()).digest()
        options["seed"] = int.from_bytes(digest[:4], "big") >> 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return getattr(optuna.samplers, SAMPLERS[name])(**options)
        except (ImportError, TypeError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise UserError(f"hydra.sweeper.sampler: {name} cannot be used: {first}") from error

    def _ask(self, num_points: int) -> Trial:
        self.study.sampler = self.sampler(num_points)
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

    def _open(self, storage: str | None) -> optuna.storages.BaseStorage:
        if storage and "://" in storage:
            options = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
            return RDBStorage(storage, engine_kwargs=options)
        path = Path(storage).expanduser() if storage else self._journal
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=_Whole(path)))

    def _lock_of(self, owner: str) -> Path:
        return self._place / f"{self._name}.{owner}.lock"

    @contextmanager
    def _held(self) -> Generator[None]:
        with FileLock(self._place / f"{self._name}.lock"):
            yield


class _Whole(JournalFileOpenLock):
    """The lock on a journal: ends with its process, and leaves no half line to the next one."""

    def __init__(self, path: Path):
        super().__init__(str(path))
        self._path, self._lock = path, FileLock(f"{path}.filelock")

    def acquire(self) -> bool:
        self._lock.acquire()
        if self._path.is_file():
            drop_half_line(self._path)
        return True

    def release(self) -> None:
        self._lock.release()


def drop_half_line(path: Path) -> None:
    """Cut what a killed process or a full disk left of the last line of a file."""
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


@contextmanager
def _told(place: str) -> Generator[None]:
    """What Optuna and its database raise for a storage, in one line."""
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise UserError(
            f"hydra.sweeper.storage: {place} cannot be read ({type(error).__name__}: {first}); "
            "move it away to begin anew: finished runs are reused"
        ) from error
