"""`python -m cfa_lab sync`: upload every run that W&B could not be told of while it went on."""

import time
from collections.abc import Sequence
from pathlib import Path

from cfa_lab.errors import Parser, UserError
from cfa_lab.files import user_path
from cfa_lab.records import names
from cfa_lab.tracking.upload import SCRATCH, is_synced, upload
from cfa_lab.tracking.wandb_helper import shut_down
from cfa_lab.tracking.wandb_session import UNSENT, import_wandb, require_connection

FOLDERS = ("outputs", "multirun")
QUIET_SECONDS = 600.0
"""A run without a record whose log was written to within this time is taken to be going on."""


def main(arguments: list[str]) -> None:
    """Upload what is found below the named folders; raises UserError if any of it failed."""
    parser = Parser(
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
    """Folders of W&B's offline runs below `folders`, each once, in order of their paths.

    Online ones are among them whose server did not take everything.
    """
    logs = {log.resolve() for folder in folders for log in folder.rglob("offline-run-*/*.wandb")}
    logs |= {
        log.resolve()
        for folder in folders
        for mark in folder.rglob(f"run-*/{UNSENT}")
        for log in mark.parent.glob("*.wandb")
    }
    if any(folder.name.startswith("offline-run-") for folder in folders):
        logs |= {log.resolve() for folder in folders for log in folder.glob("*.wandb")}
    return sorted({log.parent for log in logs if not log.parent.parent.name.startswith(SCRATCH)})


def is_going_on(folder: Path) -> bool:
    """Whether the run may still be writing its log; uploaded now, the rest would be left behind.

    A run that has ended leaves `metrics.json` in its own folder, unless it was killed. The parts of
    a resumed run stand side by side, and the last one speaks for all.
    """
    if (folder.parent.parent / names.RECORD).is_file():
        return False
    written = max(log.stat().st_mtime for log in folder.parent.glob("*run-*/*.wandb"))
    return time.time() - written < QUIET_SECONDS


def _check_connection() -> None:
    """Find out now, once, rather than for each run after minutes."""
    wandb = import_wandb()
    try:
        require_connection(wandb)
    finally:
        shut_down(wandb)
