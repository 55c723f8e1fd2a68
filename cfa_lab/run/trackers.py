"""Who is told about a run besides its folder, from its configuration."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from cfa_lab.config import Config
from cfa_lab.records import names
from cfa_lab.tracking import Tracker, WandbTracker, comparable, latest_run_id


def make_tracker(config: Config, folder: Path) -> Tracker:
    """The tracker that `tracker.name` asks for; a run that W&B knows from before goes on there."""
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
        resume_id=latest_run_id(folder),
    )


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
        unheard = "WANDB_SWEEP_ID" in os.environ and latest_run_id(folder) is None
        if unheard and config.tracker.mode != "offline":
            with (
                TemporaryDirectory() as place,
                suppress(Exception),  # the mistake itself is what the user has to read
                make_tracker(config, Path(place)),
            ):
                raise error
        raise
