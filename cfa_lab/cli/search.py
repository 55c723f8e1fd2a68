"""A search from its space to its best points, under any launcher."""

import logging
import math
import shlex
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cfa_lab.cli.composer import Job
from cfa_lab.cli.jobs import make_jobs
from cfa_lab.cli.messages import describe
from cfa_lab.cli.multirun import launch_jobs, tell_links
from cfa_lab.cli.search_options import Options
from cfa_lab.cli.space import Space, as_text, read_space
from cfa_lab.cli.task import link_latest, study_index
from cfa_lab.errors import UserError
from cfa_lab.files import write_atomically
from cfa_lab.progress import phase, show_progress
from cfa_lab.records import names

log = logging.getLogger(__name__)

REFUSED = (UserError, HydraException, OmegaConfBaseException)
"""What is raised for overrides that make no configuration."""
NUM_SHOWN = 5
"""Best points that are printed."""
ORACLE = (
    "an oracle's number, chosen on test labels: report it on categories or seeds that took no part"
)


def search(
    arguments: Sequence[str],
    options: Options,
    master: DictConfig,
    loader: ConfigLoader,
    launcher: Launcher,
) -> list[Any]:
    """Try points until there are `n_trials` of them; returns the best ones, first the best.

    A point whose job fails is recorded with its error, and the search goes on. Raises UserError
    where none could be completed.
    """
    with show_progress(say=log.info):
        with phase("starting"):
            space = read_space(arguments, options.params, loader)
            from cfa_lab.study.index import dated_root
            from cfa_lab.study.trials import Trials

            folder = Path(master.hydra.sweep.dir).absolute()
            index = study_index(master)
            corner = _corner(space, master, loader)
            identity = _identity(space, options, corner)
            index.rebuild(folder)
        trials = Trials(
            index.root,
            options.study_name or identity[:16],
            space=space.searched,
            directions=options.directions,
            sampler=options.sampler,
            storage=options.storage,
            identity=identity,
        )
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(master, folder / names.MULTIRUN)
    if (root := dated_root(folder)) is not None:
        link_latest(root, folder)
    searching = _Search(space, options, master, loader, launcher, trials, folder, len(corner))
    try:
        log.info("%s", searching.headline())
        while searching.batch():
            pass
        return searching.summary()
    finally:
        trials.close()


def _corner(space: Space, master: DictConfig, loader: ConfigLoader) -> list[Job]:
    """The jobs of the point of all first values, else of all last ones.

    Raises the first one's exception if neither is a configuration: then the command is wrong.
    """
    first, last = space.corners()
    try:
        return make_jobs(space.jobs_of(first), master, loader)
    except REFUSED as error:
        try:
            return make_jobs(space.jobs_of(last), master, loader)
        except REFUSED:
            raise error from None


def _identity(space: Space, options: Options, corner: Sequence[Job]) -> str:
    """A hash of all that decides what comes out of a point, and of what is asked of it.

    It stands on run keys, so another image or another version of the method begins anew.
    """
    from cfa_lab.study.state import keys_of

    seen: dict[str, Any] = {}
    keys = sorted(keys_of(job.config, seen)[1] for job in corner)
    searched = sorted((key, repr(distribution)) for key, distribution in space.searched.items())
    asked = [keys, searched, options.metrics, options.directions]
    return sha256(repr(asked).encode()).hexdigest()


class _Search:
    """A search that goes on."""

    def __init__(
        self,
        space: Space,
        options: Options,
        master: DictConfig,
        loader: ConfigLoader,
        launcher: Launcher,
        trials: Any,
        folder: Path,
        jobs_a_trial: int,
    ):
        self._jobs_a_trial = jobs_a_trial
        self.space, self.options, self.trials, self.folder = space, options, trials, folder
        self._master, self._loader, self._launcher = master, loader, launcher
        self._launched = 0

    def headline(self) -> str:
        """What is searched, how far it is, and what its numbers are worth."""
        points = self.trials.points()
        done, failed = (sum(getattr(p, state) for p in points) for state in ("complete", "failed"))
        others = len(points) - done - failed
        parts = [f"{done} done"] + [f"{failed} failed"] * (failed > 0)
        parts += [f"{others} unfinished"] * (others > 0)
        goal = ", ".join(
            f"{'highest' if direction == 'maximize' else 'lowest'} {metric}"
            for metric, direction in zip(self.options.metrics, self.options.directions, strict=True)
        )
        return (
            f"{self.options.n_trials} trials for the {goal}: {', '.join(parts)}\n"
            f"what wins is {ORACLE}"
        )

    def batch(self) -> bool:
        """Try `n_jobs` points; False if none is left."""
        taken: list[Any] = []
        while len(taken) < self.options.n_jobs:
            if (trial := self.trials.take(self.options.n_trials)) is None:
                break
            taken.append(trial)
        jobs: dict[int, list[Job]] = {}
        for i, trial in enumerate(taken):
            log.info("trial %d: %s", trial.number, _told(trial.params))
            try:
                jobs[i] = self._jobs(trial)
            except REFUSED as error:
                self._fail(trial, describe(error))
        flat = [(i, job) for i in jobs for job in jobs[i]]
        outcomes = {}
        if flat:
            numbered = {n: job for n, (_, job) in enumerate(flat)}
            outcomes = launch_jobs(self._launcher, numbered, self.folder, first=self._launched)
            self._launched += len(flat)
        for i in jobs:
            own = [outcomes[n] for n, (owner, _) in enumerate(flat) if owner == i]
            self._record(taken[i], own)
        return bool(taken)

    def _jobs(self, trial: Any) -> list[Job]:
        """The jobs of a trial, numbered so that no two trials share a folder."""
        combinations = self.space.jobs_of(trial.params)
        first = trial.number * self._jobs_a_trial
        return make_jobs(combinations, self._master, self._loader, first=first)

    def _record(self, trial: Any, outcomes: Sequence[Any]) -> None:
        """Tell Optuna what came of a trial's jobs: the mean of each metric."""
        if failed := [outcome for outcome in outcomes if outcome.status == "failed"]:
            self._fail(trial, str(failed[0].error))
            return
        values = []
        for metric in self.options.metrics:
            found = [outcome.metrics.get(metric) for outcome in outcomes]
            if any(metric not in outcome.metrics for outcome in outcomes):
                error = (
                    f"hydra.sweeper.metric is {metric!r}; this run has "
                    f"{', '.join(sorted(outcomes[0].metrics))}"
                )
                self._fail(trial, error)
                raise UserError(error)
            if any(value is None or not math.isfinite(value) for value in found):
                self._fail(trial, f"{metric} is undefined")
                return
            values.append(fmean(found))
        self.trials.complete(trial, values)
        statuses = ", ".join(dict.fromkeys(outcome.status for outcome in outcomes))
        log.info("  %s, %s", statuses, _judged(self.options.metrics, values))

    def _fail(self, trial: Any, error: str) -> None:
        log.error("  trial %d failed: %s", trial.number, error)
        self.trials.fail(trial, error)

    def summary(self) -> list[Any]:
        """Print the best points, how to repeat the first, and what failed; returns them."""
        points = self.trials.points()
        best = self.trials.best()
        failed = [point for point in points if point.failed]
        running = sum(not point.failed and not point.complete for point in points)
        for point in failed:
            log.error(
                "failed: trial %d, %s: %s", point.number, _told(point.last.params), point.error
            )
        if not best:
            raise UserError(
                f"none of {len(points)} trials could be completed; the same command tries them "
                "again"
            )
        print("best trials")
        for trial in best[:NUM_SHOWN]:
            judged = _judged(self.options.metrics, trial.values)
            print(f"{trial.number:>5}  {judged}  {_told(trial.params)}")
        counts = [f"{sum(point.complete for point in points)} complete"]
        counts += [f"{len(failed)} failed, which the same command tries again"] * bool(failed)
        counts += [f"{running} at work in other processes"] * bool(running)
        print(f"\n{len(points)} trials: {', '.join(counts)}\nfolder  {self.folder}")
        again = self._command(best[0].params)
        print(f"repeat  {again}\noracle  {ORACLE}")
        tell_links(
            self.folder, sorted(path.parent for path in self.folder.glob(f"*/{names.RECORD}"))
        )
        self._save(best, again)
        return best

    def _command(self, params: dict[str, Any]) -> str:
        """A command that makes the runs of a point again."""
        paths = [a for a in self._hydra_overrides() if a.startswith("hydra.searchpath")]
        averaged = [
            f"{values[0].partition('=')[0]}={','.join(v.partition('=')[2] for v in values)}"
            for values in self.space.averaged
        ]
        chosen = [f"{key}={as_text(value)}" for key, value in params.items()]
        parts = [*self.space.fixed, *averaged, *chosen, *paths]
        if averaged or "category=all" in self.space.fixed:
            parts = ["-m", *parts]
        elif any(part.startswith("experiment=") for part in parts):
            parts.append("hydra.mode=RUN")  # it may hold this very search
        return shlex.join(["python", "-m", "cfa_lab", *parts])

    def _hydra_overrides(self) -> list[str]:
        return list(self._master.hydra.overrides.hydra)

    def _save(self, best: Sequence[Any], again: str) -> None:
        kept = {
            "metrics": self.options.metrics,
            "chosen_on": "test labels",
            "best": [
                {"trial": trial.number, "values": trial.values, "params": trial.params}
                for trial in best
            ],
            "repeat": again,
        }
        write_atomically(self.folder / names.SEARCH, OmegaConf.to_yaml(OmegaConf.create(kept)))


def _told(params: dict[str, Any]) -> str:
    return " ".join(f"{key}={_short(value)}" for key, value in params.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else as_text(value)


def _judged(metrics: Sequence[str], values: Sequence[float]) -> str:
    parts = zip(metrics, values, strict=True)
    return ", ".join(f"{metric} {value:.4f}" for metric, value in parts)
