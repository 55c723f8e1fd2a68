"""Jobs on a cluster from handing them in to their ends, by what they leave and what Slurm says."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from cfa_lab.errors import UserError
from cfa_lab.launch.board import Board, board
from cfa_lab.launch.slurm import scheduler
from cfa_lab.launch.slurm.batch import (
    BEGUN,
    CALL,
    FOLDER,
    LOG,
    Submitted,
    arrays,
    hand_in,
    tidy,
)
from cfa_lab.launch.slurm.options import Options
from cfa_lab.launch.slurm.scheduler import OVER, NoAnswer, State
from cfa_lab.launch.slurm.silence import Silence
from cfa_lab.launch.slurm.verdict import Verdict, judge, never_starts, position
from cfa_lab.launch.task import End, LostJob, Task
from cfa_lab.progress import duration

SECONDS_BETWEEN_LOOKS = 0.5
"""At files; Slurm is asked every `poll_s` seconds."""
LOOKS_TO_BE_GONE = 2
"""Answers of Slurm in which a job has to be missing: files may be seen late on another machine."""


def run_slurm(
    tasks: Sequence[Task],
    *,
    root: Path,
    options: Options,
    say: Callable[[str], None],
    tell: Callable[[Task, End], str],
) -> list[End]:
    """Run all tasks as Slurm jobs; returns their ends in the same order.

    What runs or waits already is waited for and not handed in again. `root` has to be seen by all
    nodes; `tell` says what a line about a job's end says. Interrupted, it leaves the jobs alone.
    """
    with board(len(tasks), say) as shown:
        watch = _Watch(tasks, root, options, shown, tell)
        try:
            watch.begin()
        except NoAnswer as error:
            raise UserError(f"Slurm does not answer: {error}") from error
        try:
            while watch.left:
                watch.look()
        except KeyboardInterrupt:
            if watch.left:
                say(
                    f"{len(watch.left)} jobs stay with Slurm; the same command goes on with them, "
                    "and with --cancel it ends them"
                )
            raise
    return [watch.ends[number] for number in range(len(tasks))]


def cancel_slurm(tasks: Sequence[Task], *, root: Path) -> int:
    """End the jobs that do these tasks, if any; returns how many that were."""
    try:
        ids = [job.id for job in live_jobs(tasks, root).values()]
    except NoAnswer as error:
        raise UserError(f"Slurm does not answer: {error}") from error
    if known := [number for number in ids if number is not None]:
        scheduler.cancel(known)
    return len(known)


def live_jobs(tasks: Sequence[Task], root: Path) -> dict[int, Submitted]:
    """Number of a task -> the job that does it and runs or waits."""
    wanted = {task.identity: number for number, task in enumerate(tasks)}
    found: dict[int, Submitted] = {}
    if not (there := list(arrays(root))):
        return found
    states = scheduler.known([array.name for array in there])
    for array in there:
        identities = array.tasks()
        live = [i for i in range(len(identities)) if _is_live(states.get((array.name, i)))]
        if not live:
            tidy(array)
        elif array.id() is None and (number := scheduler.number_of(array.name)):
            array.note(number)
        for i in live:
            number = wanted.get(identities[i])
            if number is not None and array.end(i) is None:
                found[number] = Submitted(array, i, position(tasks[number].folder))
    return found


def _is_live(state: State | None) -> bool:
    return state is not None and state.word not in OVER


class _Watch:
    """The jobs that are left, and the lines about them."""

    def __init__(
        self,
        tasks: Sequence[Task],
        root: Path,
        options: Options,
        shown: Board,
        tell: Callable[[Task, End], str],
    ):
        self._tasks, self._root, self._options = tasks, root, options
        self._shown, self._tell = shown, tell
        self.left: dict[int, Submitted] = {}
        self.ends: dict[int, End] = {}
        self._spent: Counter[tuple[int, str]] = Counter()
        self._asked = 0.0
        self._warned: set[str] = set()
        self._silence = Silence(shown.say)

    def begin(self) -> None:
        """Find what runs already and hand in the rest; one command at a time."""
        place = self._root / FOLDER
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / "lock"):
            self.left = live_jobs(self._tasks, self._root)
            if self.left:
                self._shown.say(f"{len(self.left)} jobs are with Slurm already")
            self._hand_in([n for n in range(len(self._tasks)) if n not in self.left])

    def _hand_in(self, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        size = scheduler.largest_array()
        for first in range(0, len(numbers), size):
            part = numbers[first : first + size]
            array = hand_in(self._root, [self._tasks[n] for n in part], self._options)
            for index, number in enumerate(part):
                where = position(self._tasks[number].folder)
                self.left[number] = Submitted(array, index, where)
            self._shown.say(f"Slurm has {len(part)} jobs as {array.id()}, in {array.folder}")

    def look(self) -> None:
        """See which jobs have ended, after a short while."""
        time.sleep(SECONDS_BETWEEN_LOOKS)
        for number, job in list(self.left.items()):
            if (end := job.array.end(job.index)) is not None:
                self._ended(number, end)
        if self.left and time.monotonic() - self._asked >= self._options.poll_s:
            self._asked = time.monotonic()
            self._ask()

    def _ended(self, number: int, end: End) -> None:
        job = self.left.pop(number)
        self.ends[number] = end
        job.array.file(job.index, CALL).unlink(missing_ok=True)
        self._shown.say(f"{self._tasks[number].name}: {self._tell(self._tasks[number], end)}")
        self._shown.ended(end)

    def _ask(self) -> None:
        """Take note of what Slurm says about the jobs that are left."""
        try:
            states = scheduler.known({job.array.name for job in self.left.values()})
        except NoAnswer as error:
            self._warn("silent", f"Slurm does not answer ({error}); jobs are seen by their files")
            return
        self._warned.discard("silent")
        again: list[int] = []
        for number, job in list(self.left.items()):
            state = states.get(job.key)
            if _is_live(state):
                job.missed = 0
                continue
            job.missed += 1
            if job.missed < LOOKS_TO_BE_GONE or job.array.end(job.index) is not None:
                continue
            if self._is_tried_again(number, job, state):
                again.append(number)
        self._show(states)
        if again:
            self._hand_in_again(again)

    def _hand_in_again(self, numbers: Sequence[int]) -> None:
        """Hand in what another command at the same study has not handed in meanwhile."""
        try:
            with FileLock(self._root / FOLDER / "lock"):
                elsewhere = live_jobs([self._tasks[n] for n in numbers], self._root)
                self.left |= {numbers[i]: job for i, job in elsewhere.items()}
                self._hand_in([n for i, n in enumerate(numbers) if i not in elsewhere])
        except (NoAnswer, UserError) as error:
            for number in numbers:
                self._ended(number, End(error=LostJob(f"could not be handed in again: {error}")))

    def _is_tried_again(self, number: int, job: Submitted, state: State | None) -> bool:
        """Decide on a job that is over and left no end."""
        task = self._tasks[number]
        if job.id is not None and (told := scheduler.ended(job.id)) is not None:
            state = told
        verdict: Verdict = judge(
            state,
            began=job.array.file(job.index, BEGUN).exists(),
            moved=position(task.folder) != job.position,
            options=self._options,
        )
        self._spent[number, verdict.kind] += 1
        if self._spent[number, verdict.kind] <= verdict.tries:
            self._shown.say(f"{task.name}: {verdict.text}; it is handed in again")
            return True
        log = job.array.file(job.index, LOG)
        heard = f"; what it said: {log}" if log.exists() else ""
        self._ended(number, End(error=LostJob(f"{verdict.text}{heard}")))
        return False

    def _show(self, states: Mapping[tuple[str, int], State]) -> None:
        counts: Counter[str] = Counter()
        stuck: Counter[str] = Counter()
        running = {
            number: (job, self._tasks[number])
            for number, job in self.left.items()
            if (state := states.get(job.key)) is not None and state.word == "RUNNING"
        }
        silent = self._silence.look(running)
        for number, job in self.left.items():
            state = states.get(job.key)
            if state is None or state.word in OVER:
                counts["ending"] += 1
            elif state.word == "PENDING":
                counts[f"waiting ({state.reason})" if state.reason else "waiting"] += 1
                stuck[state.reason] += never_starts(state.reason)
            elif number in silent:
                counts[f"silent for {duration(max(silent.values()))}"] += 1
            else:
                counts[state.word.lower()] += 1
        self._shown.state(dict(sorted(counts.items())))
        for reason, count in stuck.items():
            if count:
                self._warn(
                    reason,
                    f"{count} jobs cannot start as things are: Slurm says {reason}; the same "
                    "command with --cancel ends them",
                )

    def _warn(self, kind: str, text: str) -> None:
        """Say something once."""
        if kind not in self._warned:
            self._warned.add(kind)
            self._shown.say(text)
