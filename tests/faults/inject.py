"""Run, kill, start again, compare: `python tests/faults/inject.py --kills 100 --signals 30`.

Each run is a forked child of this process, which has imported everything, so that a run takes a
second. Half of the kills hit a random moment, half the instant before a file is opened for writing,
renamed or removed. What is started again has to end complete, with the bytes of an undisturbed run.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.tiny import TINY_RUN, write_tiny

from cfa_lab.cli import main as command
from cfa_lab.run import watch

SETTINGS = [*TINY_RUN, "trainer.epochs=4", "evaluation.every=2", "evaluation.cases=1"]
SETTINGS += ["evaluation.resamples=20"]
SEEDS = (0, 1, 2)
WRITES = ("os.rename", "os.remove", "os.mkdir", "shutil.rmtree")
TRIES = 4
"""Commands after which a run has to be complete."""


def forked(arguments: list[str], place: Path, prepare: Callable[[], object] = lambda: None) -> int:
    """Start the command line in a child; returns its process id."""
    stops = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(
        signal.SIG_BLOCK, stops
    )  # Python itself would swallow them while it forks
    child = os.fork()
    if not child:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the program listens
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
        _run(arguments, place, prepare)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
    return child


def _run(arguments: list[str], place: Path, prepare: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        os.chdir(place)
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(said, 1)
        os.dup2(said, 2)
        watch.SECONDS_BETWEEN_STATES = 0.0
        sys.argv = ["cfa_lab", *arguments]
        prepare()
        command()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a child; its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def watching(place: Path, react: Callable[[int], object]) -> Callable[[], None]:
    """Let `react` see the number of each change that a process makes to files below `place`."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
        if (writes or event in WRITES) and str(arguments[0]).startswith(str(place)):
            count += 1
            react(count)

    return lambda: sys.addaudithook(hook)


def results(folder: Path) -> dict[str, Any] | None:
    """What must not differ; None where the run is not complete."""
    try:
        record = json.loads((folder / "metrics.json").read_text())
        if record["status"] != "complete":
            return None
        origin = folder / record.get("reused_from", ".")
        files = ("history.csv", "evaluations.csv", "predictions.csv", "model.safetensors")
        kept = {name: (origin / name).read_bytes() for name in files}
        return kept | {part: record[part] for part in ("metrics", "oracle", "intervals")}
    except (OSError, ValueError, KeyError):
        return None


class Injector:
    """Injects faults one after another and counts what came of them."""

    def __init__(self, place: Path, seed: int):
        self.place = place
        self.chance = random.Random(seed)
        self.injected = self.lost = self.different = 0
        write_tiny(place / "data" / "square")
        self.settings = [*SETTINGS, f"dataset.root={place / 'data'}"]
        self.features = f"features.folder={place / 'features'}"
        self.whole = {seed: self._undisturbed(seed) for seed in SEEDS}

    def _undisturbed(self, seed: int) -> dict[str, Any]:
        here = self._new_place(f"whole{seed}")
        counted = here / "count"
        began = time.monotonic()
        prepare = watching(here / "run", lambda n: counted.write_text(str(n)))
        child = forked(
            [*self.settings, self.features, f"seed={seed}", self._at(here)], here, prepare
        )
        code = ended(child)
        self.seconds, self.changes = time.monotonic() - began, int(counted.read_text())
        found = results(here / "run")
        assert code == 0 and found is not None, (here / "said.txt").read_text()
        return found

    def _new_place(self, name: str) -> Path:
        here = self.place / name
        here.mkdir()
        return here

    @staticmethod
    def _at(here: Path) -> str:
        return f"hydra.run.dir={here / 'run'}"

    def single(self, number: int, sent: signal.Signals | None) -> None:
        """One run that is ended by a kill, or by a signal, and started again."""
        here = self._new_place(f"single{number}")
        first = [*self.settings, self._features(here), "seed=0", self._at(here)]
        if sent is None and number % 2:
            aim = self.chance.randint(1, self.changes)

            def kill(count: int) -> None:
                if count == aim:
                    os.kill(os.getpid(), signal.SIGKILL)

            child = forked(first, here, watching(here / "run", kill))
        else:
            child = forked(first, here)
            time.sleep(self.chance.random() * self.seconds)
            before = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            os.kill(child, sent or signal.SIGKILL)
            sent = None if before else sent  # it was faster
        code = ended(child)
        if sent is not None and code not in (130, -sent):
            said = (here / "said.txt").read_text()
            self._count(f"{here}: {sent.name} ended in {code}: {said[-400:]}", lost=True)
            return
        self._again(here, [here / "run"], [0], lambda: self._next(here, first))

    def _next(self, here: Path, first: list[str]) -> list[str]:
        """The command that somebody would type now: the same, or, if it is refused, resume."""
        said = (here / "said.txt").read_text().strip().splitlines()
        refused = bool(said) and "holds a run already" in said[-1]
        return [f"resume={here / 'run'}"] if refused else first

    def many(self, number: int) -> None:
        """A multirun that is killed once or twice and started again by the same command."""
        here = self._new_place(f"many{number}")
        seeds = ",".join(map(str, SEEDS))
        study = [
            *("-m", *self.settings, self._features(here), f"seed={seeds}"),
            "hydra.sweep.dir=multirun/study",
        ]
        for _ in range(1 + number % 2):
            child = forked(study, here)
            time.sleep(self.chance.random() * self.seconds * len(SEEDS))
            os.kill(child, signal.SIGKILL)
            ended(child)
        if number % 3 == 0 and (here / "multirun" / "study").is_dir():  # and renamed meanwhile
            (here / "multirun" / "study").rename(here / "multirun" / "renamed")
            study[-1] = "hydra.sweep.dir=multirun/renamed"
        folder = here / "multirun" / study[-1].rpartition("/")[2]
        runs = [folder / f"{i}-resnet18-square-s{seed}" for i, seed in enumerate(SEEDS)]
        self._again(here, runs, SEEDS, lambda: study)

    def _features(self, here: Path) -> str:
        """Now and then a store of its own, so that making features is hit, too."""
        return self.features if self.chance.random() < 0.7 else f"features.folder={here / 'own'}"

    def _again(
        self, here: Path, runs: Any, seeds: Any, next_command: Callable[[], list[str]]
    ) -> None:
        for _ in range(TRIES):
            if all(results(run) for run in runs):
                break
            ended(forked(next_command(), here))
        found = [results(run) for run in runs]
        if any(one is None for one in found):
            self._count(f"{here}: lost\n{(here / 'said.txt').read_text()[-800:]}", lost=True)
        elif found != [self.whole[seed] for seed in seeds]:
            self._count(f"{here}: different", different=True)
        else:
            self._count("")

    def _count(self, told: str, *, lost: bool = False, different: bool = False) -> None:
        self.injected += 1
        self.lost += lost
        self.different += different
        if told:
            print(told, file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--signals", type=int, default=30)
    parser.add_argument("--multirun", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cfa_lab-faults-") as place:
        injector = Injector(Path(place), options.seed)
        for number in range(options.kills):
            injector.single(number, None)
        for number in range(options.signals):
            sent = (signal.SIGINT, signal.SIGTERM)[number % 2]
            injector.single(options.kills + number, sent)
        for number in range(options.multirun):
            injector.many(number)
    print(
        f"{injector.injected} faults injected, {injector.lost} lost, {injector.different} different"
    )
    sys.exit(bool(injector.lost or injector.different))


if __name__ == "__main__":
    main()
