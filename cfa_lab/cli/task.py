"""One Hydra job: a single run, or one of many."""

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from cfa_lab.cli.importing import importing
from cfa_lab.cli.interrupts import was_asked
from cfa_lab.cli.messages import describe, of_the_machine
from cfa_lab.cli.schema import to_config
from cfa_lab.cli.settings_files import save_settings
from cfa_lab.config import Config
from cfa_lab.errors import UserError
from cfa_lab.files import replacing
from cfa_lab.progress import phase, show_progress
from cfa_lab.records import names
from cfa_lab.records.folders import is_kept
from cfa_lab.records.record import record_of

log = logging.getLogger(__name__)

SWEEPERS = ("CfaLabSweeper", "CfaLabSearch")
"""Ours take outcomes of jobs; others take a number to optimise, and exceptions."""

failure: tuple[BaseException, Path] | None = None
"""What ended a single run, kept past Hydra, which would print its own account of it."""


def job(cfg: DictConfig) -> Any:
    """One Hydra job; returns image AUROC, the number that other sweepers optimise."""
    global failure
    folder = Path(HydraConfig.get().runtime.output_dir)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return _unless_stopped(_one_of_many(cfg, folder))
    try:
        return _unless_stopped(_single(cfg, folder))
    except (Exception, KeyboardInterrupt) as error:
        remove_if_empty(folder)
        failure = (error, folder)
        return None


def _unless_stopped(outcome: Any) -> Any:
    """End here if a stop was asked for and a library swallowed it: the next job does not begin."""
    if was_asked():
        raise KeyboardInterrupt
    return outcome


def _single(cfg: DictConfig, folder: Path) -> float | None:
    hydra_config = HydraConfig.instance().cfg
    config = to_config(cfg)
    if config.category == "all":
        raise UserError("category=all stands for many runs; put -m before it")
    with show_progress(say=log.info):
        with phase("starting"), importing():
            from cfa_lab.run.begin import refuse_other_run
            from cfa_lab.run.prepare import prepare
            from cfa_lab.run.run import run
            from cfa_lab.run.show import show_result
            from cfa_lab.study.index import RunIndex, dated_root

        prepared, root = None, dated_root(folder)
        if is_kept(folder):
            prepared = prepare(config)
            refuse_other_run(folder, resume=config.resume, fit_key=prepared.fit_key)

        def begin() -> None:
            save_settings(folder, cfg, hydra_config)
            if root is not None:
                link_latest(root, folder)

        result = run(config, folder, prepared=prepared, on_begin=begin)
        if root is not None:  # a multirun may reuse it
            RunIndex(root).add(record_of(folder)["run_key"], folder)
    show_result(result)
    return result.evaluation.metrics["test/image_auroc"]


def _one_of_many(cfg: DictConfig, folder: Path) -> Any:
    """A job of a multirun: an outcome, failures included, for cfa_lab's own sweepers."""
    hydra_config: Any = HydraConfig.instance().cfg
    ours = hydra_config.hydra.sweeper._target_.endswith(SWEEPERS)
    alone = hydra_config.hydra.launcher._target_.endswith("BasicLauncher")
    with show_progress(
        live=None if alone else False, label="" if alone else folder.name, say=log.info
    ):
        outcome = _outcome(cfg, folder, hydra_config, ours=ours)
    if outcome.status == "failed":
        return outcome
    auroc = outcome.metrics["test/image_auroc"]
    if not (alone and ours):  # the multirun says so itself
        value = "undefined" if auroc is None else f"{auroc:.4f}"
        log.info("%s: %s, image AUROC %s", outcome.folder.name, outcome.status, value)
    return outcome if ours else auroc


def _outcome(cfg: DictConfig, folder: Path, hydra_config: Any, *, ours: bool) -> Any:
    with phase("starting"), importing():
        from cfa_lab.study.job import run_once
        from cfa_lab.study.reuse import JobOutcome

    try:
        config = on_its_gpu(to_config(cfg), hydra_config.hydra.job.num)
        if config.category == "all":
            raise UserError("category=all needs hydra/sweeper=cfa_lab, the default")
        return run_once(
            config,
            folder,
            study_index(hydra_config),
            on_begin=lambda place: save_settings(place, cfg, hydra_config),
        )
    except Exception as error:
        remove_if_empty(folder)
        refused = of_the_machine(error, folder)
        expected = isinstance(error, UserError) or refused is not None
        message = refused or describe(error)
        message = message if expected else f"{type(error).__name__}: {message}"
        log.error("%s failed: %s", folder.name, message, exc_info=None if expected else error)
        if not ours:
            raise
        return JobOutcome(status="failed", folder=folder, error=message)
    except KeyboardInterrupt:
        remove_if_empty(folder)
        raise


def study_index(hydra_config: DictConfig) -> Any:
    """The index of the runs that a multirun may reuse: its root's, those that its own folder
    brought along when it was moved below that root, and the single runs'."""
    from cfa_lab.study.index import HINTS, RunIndex, dated_root, study_root

    sweep = Path(hydra_config.hydra.sweep.dir).absolute()
    singles = dated_root(Path(hydra_config.hydra.run.dir).absolute())
    others = [sweep] if (sweep / HINTS).is_dir() else []
    return RunIndex(study_root(sweep), others=[*others, *([singles] if singles else [])])


def on_its_gpu(config: Config, number: int) -> Config:
    """`device=auto` takes the GPUs in turn, so that jobs side by side do not share one."""
    if config.device == "auto":
        import torch

        if (count := torch.cuda.device_count()) > 1:
            config.device = f"cuda:{number % count}"
    return config


def link_latest(root: Path, folder: Path) -> None:
    """Let `<root>/latest` lead to a folder below `root`; nothing where there can be no link."""
    link = root / names.LATEST
    if link.exists() and not link.is_symlink():
        return  # somebody's own
    with suppress(OSError), replacing(link) as partial:
        partial.symlink_to(folder.relative_to(root), target_is_directory=True)


def remove_if_empty(folder: Path) -> None:
    """Remove the folder Hydra made for a run that never began, and dated parents left empty."""
    with suppress(OSError):  # another process may have removed one, or put something in
        for path in (folder, *folder.parents):
            inside = path == folder or {"outputs", "multirun"} & set(path.parts)
            if not inside or not path.is_dir() or any(path.iterdir()) or path == Path.cwd():
                return
            path.rmdir()
