"""A multirun from its jobs to its table, under any launcher."""

import logging
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from cfa_lab.cli.composer import Job
from cfa_lab.cli.jobs import make_jobs
from cfa_lab.cli.settings_files import has_settings, save_settings
from cfa_lab.cli.task import link_latest, study_index
from cfa_lab.errors import UserError
from cfa_lab.files import typed
from cfa_lab.launch.task import LostJob
from cfa_lab.progress import duration, phase, show_progress
from cfa_lab.records import names
from cfa_lab.records.record import record_of

log = logging.getLogger(__name__)


def multirun(
    combinations: Sequence[Sequence[str]],
    master: DictConfig,
    loader: ConfigLoader,
    launcher: Launcher,
    *,
    list_only: bool,
) -> list[Any]:
    """Run every job that is not done; returns the outcomes in the jobs' order.

    Says beforehand what there is to do and afterwards what came out. Raises UserError where jobs
    failed, once the others have ended.
    """
    with show_progress(say=log.info):
        with phase("starting"):
            jobs = make_jobs(combinations, master, loader)
            from cfa_lab.study.index import dated_root
            from cfa_lab.study.plan import plan
            from cfa_lab.study.show import headline, list_jobs, names_of, show_summary

        if (cancel := getattr(launcher, "cancel", None)) and master.hydra.launcher.get("cancel"):
            print(f"{cancel([job.arguments for job in jobs])} jobs cancelled")
            return []
        folder = Path(master.hydra.sweep.dir).absolute()
        index = study_index(master)
        configs = [job.config for job in jobs]
        with phase("looking for what is done"):
            index.rebuild(folder)
            planned = plan(configs, index)
    parallel = _num_parallel(launcher)
    if list_only:
        print(headline(configs, planned, parallel=parallel))
        list_jobs([job.settings for job in jobs], planned)
        return []
    log.info(headline(configs, planned, parallel=parallel))
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(master, folder / names.MULTIRUN)
    if (root := dated_root(folder)) is not None:
        link_latest(root, folder)
    called = names_of([job.settings for job in jobs])
    outcomes: dict[int, Any] = {}
    for number, (job, state) in enumerate(zip(jobs, planned, strict=True)):
        if state.found is not None:
            outcomes[number] = _reuse(job, folder / job.subdir, *state.found)
    waiting = [number for number in range(len(jobs)) if number not in outcomes]
    if waiting:
        batches = [[n] for n in waiting] if parallel == 1 else [waiting]
        began = time.monotonic()
        for i, batch in enumerate(batches):
            if parallel == 1:
                number = batch[0]
                state = planned[number].status
                again = " goes on" if state in ("unfinished", "failed") else ""
                log.info("job %d of %d%s: %s", number, len(jobs), again, called[number])
            outcomes |= launch_jobs(launcher, {n: jobs[n] for n in batch}, folder, first=i)
            if parallel == 1:
                seconds = time.monotonic() - began
                log.info("%s", _told(outcomes[batch[0]], i + 1, len(batches), seconds))
    ordered = [outcomes[number] for number in range(len(jobs))]
    show_summary([job.settings for job in jobs], configs, ordered, folder)
    tell_links(folder, [outcome.folder for outcome in ordered])
    if failed := sum(outcome.status == "failed" for outcome in ordered):
        raise UserError(
            f"{failed} of {len(jobs)} jobs failed; the same command tries them again and reuses "
            "the others"
        )
    return ordered


def tell_links(folder: Path, runs: Sequence[Path]) -> None:
    """Let a study's W&B runs be looked at together, and say how."""
    from cfa_lab.tracking.links import link_runs

    if (place := link_runs(folder, runs)) is not None:
        print(f"curves  wandb leet {shlex.quote(typed(place))}")


def _told(outcome: Any, done: int, num_jobs: int, seconds: float) -> str:
    """What came out of a job, and how long the others may take."""
    jobs = "job" if num_jobs - done == 1 else "jobs"
    left = f"; {num_jobs - done} {jobs} left, about {duration(seconds / done * (num_jobs - done))}"
    found = "failed" if outcome.status == "failed" else str(outcome)
    return f"  {found}{left if done < num_jobs else ''}"


def _reuse(job: Job, folder: Path, found: Path, record: dict[str, Any]) -> Any:
    from cfa_lab.study.reuse import JobOutcome, reuse

    folder = reuse(job.config, folder, found, record)
    if not has_settings(folder):
        composed = job.compose()
        save_settings(folder, composed, composed, durable=False)  # they are soon made again
    return JobOutcome(status="reused", folder=folder, metrics=record["metrics"])


def launch_jobs(
    launcher: Launcher, jobs: dict[int, Job], folder: Path, *, first: int
) -> dict[int, Any]:
    """Outcomes of the jobs; those of which the launcher brings none have failed.

    `first`: how many were launched before, which numbers them for Hydra.
    """
    from cfa_lab.study.reuse import JobOutcome

    arguments = [job.arguments for job in jobs.values()]
    try:
        returns = launcher.launch(arguments, initial_job_idx=first)
        reasons = [_reason(job_return) for job_return in returns]
    except UserError:  # there is nothing to launch with
        raise
    except Exception as error:  # another project's launcher stops for one job
        returns, reasons = [None] * len(jobs), [f"{type(error).__name__}: {error}"] * len(jobs)
        log.error("the launcher stopped: %s", error)
    outcomes = {}
    for (number, job), job_return, reason in zip(jobs.items(), returns, reasons, strict=True):
        if reason is None and isinstance(job_return, JobReturn):
            outcomes[number] = _brought_here(job, job_return.return_value, folder)
        else:
            outcomes[number] = _left_behind(job, folder / job.subdir) or JobOutcome(
                status="failed", folder=folder / job.subdir, error=_one_line(reason)
            )
    return outcomes


def _brought_here(job: Job, outcome: Any, folder: Path) -> Any:
    """The outcome of a job that ran for a study in another folder, which has its run; recorded
    here, too."""
    if outcome.status == "failed" or outcome.folder.parent == folder:
        return outcome
    record = record_of(outcome.folder)
    origin = Path(os.path.normpath(outcome.folder / record.get("reused_from", "")))
    return replace(
        outcome, folder=_reuse(job, folder / job.subdir, origin, record_of(origin)).folder
    )


def _left_behind(job: Job, folder: Path) -> Any:
    """The outcome of a job that completed before its launcher stopped."""
    from cfa_lab.study.reuse import JobOutcome

    record = record_of(folder)
    own = asdict(job.config) | {"device": ""}  # a job may have chosen its GPU itself
    if record.get("status") != "complete" or record["config"] | {"device": ""} != own:
        return None
    status = "reused" if record.get("reused_from") else "computed"
    return JobOutcome(status=status, folder=folder, metrics=record["metrics"])


def _reason(job_return: JobReturn) -> str | None:
    """Why a job brought no outcome; jobs report their failures, so this one did not get so far."""
    if job_return.status is JobStatus.COMPLETED:
        return None
    error = job_return._return_value  # pyright: ignore[reportPrivateUsage]
    if isinstance(error, LostJob):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _one_line(text: str | None) -> str:
    lines = [line.strip() for line in (text or "no outcome").splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else f"{lines[0]} ... {lines[-1]}"


def _num_parallel(launcher: Launcher) -> int | None:
    """Jobs that run at once; None where that is the batch system's to decide."""
    return 1 if isinstance(launcher, BasicLauncher) else getattr(launcher, "num_parallel", None)
