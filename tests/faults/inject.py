"""Run, kill, start again, compare: `python tests/faults/inject.py --kills 100 --signals 30`.

Each run is a forked child of this process, which has imported everything, so that a run takes a
second. Half of the kills hit a random moment, half the instant before a file is opened for writing,
renamed or removed. What is started again has to end complete, with the bytes of an undisturbed run.
The other kinds of faults stand in `other_faults`.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.forked import SEEDS, SETTINGS, TRIES, ended, forked, results, said, watching
from helpers.tiny import write_tiny
from other_faults import KINDS


class Injector:
    """Injects faults one after another and counts what came of them."""

    def __init__(self, place: Path, seed: int):
        self.place = place
        self.chance = random.Random(seed)
        self.injected = self.lost = self.different = 0
        self._skipped: set[str] = set()
        write_tiny(place / "data" / "square")
        self.settings = [*SETTINGS, f"dataset.root={place / 'data'}"]
        self.features = f"features.folder={place / 'features'}"
        self.whole = {seed: self._undisturbed(seed) for seed in SEEDS}

    def _undisturbed(self, seed: int) -> dict[str, Any]:
        here = self.new_place(f"whole{seed}")
        counted = here / "count"
        began = time.monotonic()
        prepare = watching(here / "run", lambda n: counted.write_text(str(n)))
        child = forked(
            [*self.settings, self.features, f"seed={seed}", self.at(here)], here, prepare
        )
        code = ended(child)
        self.seconds, self.changes = time.monotonic() - began, int(counted.read_text())
        found = results(here / "run")
        assert code == 0 and found is not None, said(here)
        return found

    def new_place(self, name: str) -> Path:
        here = self.place / name
        here.mkdir()
        (here / "said.txt").touch()  # a process may end before it makes its own
        return here

    @staticmethod
    def at(here: Path) -> str:
        return f"hydra.run.dir={here / 'run'}"

    def single(self, number: int, sent: signal.Signals | None) -> None:
        """One run that is ended by a kill, or by a signal, and started again."""
        here = self.new_place(f"single{number}")
        first = [*self.settings, self._features(here), "seed=0", self.at(here)]
        if sent is None and number % 2:
            aim = self.chance.randint(1, self.changes)

            def kill(count: int) -> None:
                if count == aim:
                    os.kill(os.getpid(), signal.SIGKILL)

            child = forked(first, here, watching(here / "run", kill))
        else:
            child = forked(first, here)
            time.sleep(self.chance.random() * self.seconds)
            before = results(here / "run") is not None  # complete: both ends are right
            os.kill(child, sent or signal.SIGKILL)
            sent = None if before else sent  # it was faster
        code = ended(child)
        if sent is not None and code not in (130, -sent):
            self.count(f"{here}: {sent.name} ended in {code}: {said(here)[-400:]}", lost=True)
            return
        self.again(here, [here / "run"], [0], lambda: self.next(here / "run", first))

    def next(self, run: Path, first: list[str]) -> list[str]:
        """The command that somebody would type now: the same, or, if it is refused, resume."""
        place = next(path for path in run.parents if (path / "said.txt").is_file())
        lines = said(place).strip().splitlines()
        refused = bool(lines) and "holds a run already" in lines[-1]
        return [f"resume={run}"] if refused else first

    def many(self, number: int) -> None:
        """A multirun that is killed once or twice and started again by the same command."""
        here = self.new_place(f"many{number}")
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
        self.again(here, runs, SEEDS, lambda: study)

    def _features(self, here: Path) -> str:
        """Now and then a store of its own, so that making features is hit, too."""
        return self.features if self.chance.random() < 0.7 else f"features.folder={here / 'own'}"

    def again(
        self, here: Path, runs: Any, seeds: Any, next_command: Callable[[], list[str]]
    ) -> None:
        for _ in range(TRIES):
            if all(results(run) for run in runs):
                break
            ended(forked(next_command(), here))
        found = [results(run) for run in runs]
        if any(one is None for one in found):
            self.count(f"{here}: lost\n{(here / 'said.txt').read_text()[-800:]}", lost=True)
        elif found != [self.whole[seed] for seed in seeds]:
            self.count(f"{here}: different", different=True)
        else:
            self.count("")

    def skip(self, kind: str, reason: str) -> None:
        """Say once that a kind of fault cannot be made here; it is not counted."""
        if kind not in self._skipped:
            self._skipped.add(kind)
            print(f"skipped: {kind}: {reason}", file=sys.stderr)

    def count(self, told: str, *, lost: bool = False, different: bool = False) -> None:
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
    parser.add_argument(
        "--others", type=int, default=8, help=f"of each other kind: {', '.join(KINDS)}"
    )
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
        for name, inject in KINDS.items():
            for number in range(options.others):
                inject(injector, injector.new_place(f"{name}{number}"), number)
    print(
        f"{injector.injected} faults injected, {injector.lost} lost, {injector.different} different"
    )
    sys.exit(bool(injector.lost or injector.different))


if __name__ == "__main__":
    main()
