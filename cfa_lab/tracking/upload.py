"""One upload of a W&B run from what its folder holds: its logs made whole, and `wandb sync`."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from cfa_lab.records import names
from cfa_lab.records.predictions import read_predictions
from cfa_lab.records.record import record_of
from cfa_lab.tracking.base import Outcome
from cfa_lab.tracking.log_file import write_log
from cfa_lab.tracking.merged import NothingToSend, merged
from cfa_lab.tracking.wandb import WandbTracker
from cfa_lab.tracking.wandb_session import UNSENT

_ALONE = Lock()
"""wandb knows one run at a time in a process."""

SCRATCH = ".sync-"
"""Begins the names of folders that an upload makes and removes."""
AT_A_TIME = 4
SECONDS_A_RUN = 300.0
"""What one run's upload may take; wandb itself would try for hours."""


def is_synced(folder: Path) -> bool:
    """Whether wandb left its mark of a complete upload beside every log in an offline run."""
    return all(log.with_name(f"{log.name}.synced").exists() for log in folder.glob("*.wandb"))


def upload(folders: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
    """Upload offline runs, some at a time; yields each with None, or why it failed in one line.

    The parts of a run that was resumed have one id and go as one log, in the order they were made.
    """
    parts: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for folder in folders:
        log = next(folder.glob("*.wandb"))
        parts[folder.parent, log.stem].append(folder)
    for together in parts.values():
        together.sort(key=lambda part: part.name.removeprefix("offline-"))
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for together, reason in zip(parts.values(), pool.map(_send, parts.values()), strict=True):
            for folder in together:
                yield folder, reason


def _send(parts: Sequence[Path]) -> str | None:
    """Upload one run; None where all of it arrived, else why not."""
    folder = parts[0].parent.parent
    logs = [log for part in parts for log in part.glob("*.wandb")]
    with _scratch(folder / names.WANDB) as scratch:
        try:
            records, gone = merged(folder, logs)
            if not _has_results(records) and (
                made := _log_results(folder, scratch, records[1].run)
            ):
                parts = [*parts, made.parent]
                records, gone = merged(folder, [*logs, made])
        except NothingToSend:
            return "its log is damaged, and its folder has no record to make it from"
        place = scratch / f"offline-run-{parts[0].name.partition('run-')[2]}"
        for part in parts:
            if (part / "files").is_dir():
                shutil.copytree(part / "files", place / "files", dirs_exist_ok=True)
        place.mkdir(exist_ok=True)
        write_log(place / logs[-1].name, records)
        said = _sync([place])
        if not is_synced(place) or _errors(said):
            return _reason(said)
    if gone:
        return f"uploaded all but {', '.join(gone)}, whose files are gone"
    for log in logs:
        log.with_name(f"{log.name}.synced").touch()
        (log.parent / UNSENT).unlink(missing_ok=True)
    return None


def _has_results(records: Sequence[Any]) -> bool:
    """Whether a log was written to its end: the predictions are told with the results."""
    return any(one.artifact.name.endswith("-predictions") for one in records)


def _log_results(folder: Path, scratch: Path, run: Any) -> Path | None:
    """A log in `scratch` of the results of a complete run, for one that lacks them.

    The folder has numbers, predictions and model; pictures of single images and curves it has not.
    """
    record = record_of(folder)
    if record.get("status") != "complete" or not (folder / names.PREDICTIONS).is_file():
        return None
    model = [folder / names.MODEL, folder / names.MODEL_DESCRIPTION]
    told = Outcome(
        metrics={**record.get("metrics", {}), **record.get("oracle", {})},
        predictions=read_predictions(folder),
        panels=[],
        curves={},
        timing=record.get("timing", {}),
        model=[path for path in model if path.is_file()],
    )
    with _ALONE:
        tracker = WandbTracker(
            scratch,
            config={},
            project=run.project,
            entity=run.entity or None,
            group=run.run_group or None,
            job_type=run.job_type,
            name=run.display_name,
            tags=list(run.tags),
            mode="offline",
            images=False,
            model=bool(record["config"]["tracker"]["model"]),
            resume_id=run.run_id,
        )
        with tracker:
            tracker.finish(told)
    return next(scratch.glob(f"{names.WANDB}/offline-run-*/*.wandb"), None)


@contextmanager
def _scratch(folder: Path) -> Generator[Path]:
    """A folder for what is uploaded, beside the logs, or elsewhere where these are only read."""
    try:
        made = tempfile.mkdtemp(prefix=SCRATCH, dir=folder)
    except OSError:
        made = tempfile.mkdtemp(prefix=SCRATCH)
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _sync(folders: Sequence[Path]) -> str:
    """What `wandb sync` says; how it went is seen by its marks, as its exit code tells nothing."""
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SILENT"}
    environment["WANDB_MODE"] = "online"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "wandb", "sync", "--yes", *map(str, folders)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS_A_RUN * len(folders),
        )
    except subprocess.TimeoutExpired as late:
        return f"no end after {late.timeout:g} s"
    return done.stdout


def _reason(said: str) -> str:
    """The first error among `wandb sync`'s lines, else the last line."""
    return [*_errors(said), *_lines(said)[-1:], "wandb sync said nothing"][0]


def _errors(said: str) -> list[str]:
    """What went wrong, by `wandb sync`'s own words; it may call a run synced all the same."""
    return [
        line[6:].strip() for line in _lines(said) if line.lower().startswith(("error ", "error:"))
    ]


def _lines(said: str) -> list[str]:
    lines = [line.removeprefix("wandb: ").strip() for line in said.splitlines()]
    return [line for line in lines if line]
