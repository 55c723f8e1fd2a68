"""`python -m cfa_lab sync`: upload every run that W&B could not be told of while it went on."""

import argparse
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cfa_lab.errors import UserError
from cfa_lab.files import user_path
from cfa_lab.records import names
from cfa_lab.tracking.wandb_session import import_wandb, require_connection, shut_down

FOLDERS = ("outputs", "multirun")
AT_A_TIME = 4
SECONDS_A_RUN = 300.0
"""What one run's upload may take; wandb itself would try for hours."""

QUIET_SECONDS = 600.0
"""A run without a record whose log was written to within this time is taken to be going on."""


def main(arguments: list[str]) -> None:
    """Upload what is found below the named folders; raises UserError if any of it failed."""
    parser = argparse.ArgumentParser(
        prog="python -m cfa_lab sync",
        description="Upload every offline W&B run found below the folders; those that were"
        " uploaded before are skipped.",
    )
    parser.add_argument(
        "folders",
        nargs="*",
        type=user_path,
        help=f"default: {' and '.join(FOLDERS)}, where they exist",
    )
    parser.add_argument("--dry-run", action="store_true", help="list the runs, upload none")
    options = parser.parse_args(arguments)
    found = offline_runs(_existing(options.folders))
    unsent = [folder for folder in found if not is_synced(folder)]
    waiting = [folder for folder in unsent if not is_going_on(folder)]
    print(
        f"{len(found)} offline runs: {len(waiting)} to upload,"
        f" {len(found) - len(unsent)} uploaded before, {len(unsent) - len(waiting)} still going on"
    )
    if options.dry_run:
        for folder in waiting:
            print(folder)
        return
    if not waiting:
        return
    _check_connection()
    num_failed = 0
    for folder, reason in upload(waiting):
        num_failed += reason is not None
        print(f"{folder}: {reason or 'uploaded'}", flush=True)
    if num_failed:
        raise UserError(
            f"{num_failed} of {len(waiting)} runs could not be uploaded, for the reasons above;"
            " the same command tries them again"
        )


def _existing(folders: Sequence[Path]) -> list[Path]:
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder; name folders that hold runs")
    return list(folders) or [Path(name) for name in FOLDERS if Path(name).is_dir()]


def offline_runs(folders: Sequence[Path]) -> list[Path]:
    """Folders of W&B's offline runs below `folders`, each once, in order of their paths."""
    logs = {log.resolve() for folder in folders for log in folder.rglob("offline-run-*/*.wandb")}
    if any(folder.name.startswith("offline-run-") for folder in folders):
        logs |= {log.resolve() for folder in folders for log in folder.glob("*.wandb")}
    return sorted({log.parent for log in logs})


def is_synced(folder: Path) -> bool:
    """Whether wandb left its mark of a complete upload beside every log in an offline run."""
    return all(log.with_name(f"{log.name}.synced").exists() for log in folder.glob("*.wandb"))


def is_going_on(folder: Path) -> bool:
    """Whether the run may still be writing its log; uploaded now, the rest would be left behind.

    A run that has ended leaves `metrics.json` in its own folder, unless it was killed. The parts of
    a resumed run stand side by side, and the last one speaks for all.
    """
    if (folder.parent.parent / names.RECORD).is_file():
        return False
    written = max(log.stat().st_mtime for log in folder.parent.glob("offline-run-*/*.wandb"))
    return time.time() - written < QUIET_SECONDS


def _check_connection() -> None:
    """Find out now, once, rather than for each run after minutes."""
    wandb = import_wandb()
    try:
        require_connection(wandb)
    finally:
        shut_down(wandb)


def upload(folders: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
    """Upload offline runs, some at a time; yields each with None, or why it failed in one line.

    The parts of a run that was resumed have one id and go together, in the order they were made.
    """
    parts: dict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        parts[folder.name.rpartition("-")[2]].append(folder)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for together, said in zip(parts.values(), pool.map(_sync, parts.values()), strict=True):
            for folder in together:
                yield folder, None if is_synced(folder) else _reason(said)


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
    lines = [line.removeprefix("wandb: ").strip() for line in said.splitlines()]
    lines = [line for line in lines if line]
    errors = [line[6:].strip() for line in lines if line.lower().startswith(("error ", "error:"))]
    return [*errors, *lines[-1:], "wandb sync said nothing"][0]
