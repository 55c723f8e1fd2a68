"""Who is told about a run besides its folder, from its configuration."""

import logging
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from cfa_lab.config import Config
from cfa_lab.records import names
from cfa_lab.tracking import (
    Tracker,
    WandbTracker,
    claim_id,
    comparable,
    latest_run_id,
    outside_id,
)

log = logging.getLogger(__name__)

CLAIMS = "wandb_ids"
"""The folder beside the features in which ids from outside are remembered."""


def make_tracker(config: Config, folder: Path) -> Tracker:
    """The tracker that `tracker.name` asks for; a run that W&B knows from before goes on there."""
    if config.tracker.name == "none":
        return Tracker()
    return _make_tracker(config, folder, latest_run_id(folder) or _own_id(config, folder))


def _make_tracker(config: Config, folder: Path, run_id: str | None) -> Tracker:
    values = config.tracker
    if values.name == "none":
        return Tracker()
    return WandbTracker(
        folder,
        config={**comparable(asdict(config)), "folder": str(folder.absolute())},
        project=values.project,
        entity=values.entity,
        group=values.group or multirun_name(folder),
        job_type="train",
        name=f"{config.backbone.name}-{config.category}-s{config.seed}",
        tags=values.tags,
        mode=values.mode,
        images=values.images,
        model=values.model,
        resume_id=run_id,
    )


def _own_id(config: Config, folder: Path) -> str | None:
    """The id that was set for this run, or one drawn here where that is another run's already.

    None leaves the choice to the tracker.
    """
    run_id = outside_id()
    register = Path(config.features.folder).expanduser() / CLAIMS
    if run_id is None or claim_id(run_id, folder, register):
        return run_id
    log.warning(
        "%s=%s was used by another run, so this one gets an id of its own; unset the variable",
        *("WANDB_RUN_ID", run_id),
    )
    return secrets.token_hex(8)


def multirun_name(folder: Path) -> str | None:
    """The name of the multirun that a run folder is part of: where it stands; None for others."""
    study = folder.absolute().parent
    if not (study / names.MULTIRUN).is_file():
        return None
    return f"{study.parent.name}_{study.name}"


@contextmanager
def shown_to_sweep(config: Config, folder: Path) -> Generator[None]:
    """Let a W&B sweep see that the body failed, even before the run began to tell W&B of itself.

    The sweep gave the run its id and would wait for it; a mistake that is found before training
    opens no tracker. Nothing stays in `folder`, and nothing happens outside a sweep.
    """
    try:
        yield
    except Exception as error:
        ours = "WANDB_SWEEP_ID" in os.environ and outside_id() is not None
        if ours and latest_run_id(folder) is None and config.tracker.mode != "offline":
            with (
                TemporaryDirectory() as place,
                suppress(Exception),  # the mistake itself is what the user has to read
                _make_tracker(config, Path(place), outside_id()),
            ):
                raise error
        raise
