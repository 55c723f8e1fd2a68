"""A run folder's life: what is there when a run begins, and what a failure leaves."""

import logging
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cfa_lab.config import Config
from cfa_lab.errors import UserError
from cfa_lab.files import remove_partials
from cfa_lab.records import names
from cfa_lab.records.folders import is_complete, is_kept
from cfa_lab.records.history import holds_until
from cfa_lab.records.record import record_of, write_record
from cfa_lab.training import checkpoint
from cfa_lab.training.state import Fit

log = logging.getLogger(__name__)


def refuse_taken(folder: Path, *, resume: str, fit_key: str) -> None:
    """Keep a run out of a folder that holds a complete one, or, if named, another unfinished one.

    `resume` is the configured value. Raises UserError; changes nothing.
    """
    if is_complete(folder):
        raise UserError(f"{folder} holds a complete run, which stays; give this one another folder")
    if resume in ("auto", "never"):
        return
    found = _saved(folder).get("fit_key", fit_key)
    if found != fit_key:
        raise UserError(
            f"{folder} was started with other settings, images or weights "
            f"(key {found}, now {fit_key}); start a new run without resume="
        )


def refuse_other_run(folder: Path, *, resume: str, fit_key: str) -> None:
    """Keep a run out of a folder that holds one, whatever named the folder.

    What is unfinished and of the same fit goes on there, and what nobody can go on from is taken
    for a new run. Raises UserError otherwise.
    """
    if resume not in ("auto", "never") or not is_kept(folder):
        return  # `refuse_taken` sees to a folder that was named
    same = _saved(folder).get("fit_key") == fit_key and resume == "auto"
    if not same or record_of(folder).get("status") == "complete":
        raise UserError(f"{folder} holds a run already; choose another hydra.run.dir or resume it")


def begin(config: Config, folder: Path, fit: Fit, *, fit_key: str) -> int:
    """Make the folder that of a run on its way, and return the step that it goes on from.

    That is 0 unless there is a state of this very fit that can be relied on, and history and
    evaluations hold all that was before it. Nothing of an earlier run is touched before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for place in (folder, folder / names.SETTINGS):
        remove_partials(place)
    step = 0 if config.resume == "never" else _go_on(config, folder, fit, fit_key)
    checkpoint.save_state(folder, fit, fit_key=fit_key)  # now it can be resumed
    clear_results(folder, first_step=step)
    return step


def _go_on(config: Config, folder: Path, fit: Fit, fit_key: str) -> int:
    """Bring a fit to where it was left, if that can be relied on; the step, 0 where it cannot."""
    path = folder / names.STATE
    try:
        position = checkpoint.state_position(folder)
        if not position or position["fit_key"] != fit_key:
            return 0
        epoch, step = int(position["next_epoch"]), int(position["next_step"])
        every, last = config.evaluation.every, config.num_epochs - 1
        before = min(epoch, last)
        epochs = range(every - 1, before, every) if every else []
        if not holds_until(folder, num_steps=step, epochs=epochs, before_epoch=before):
            log.warning("%s is not as it was when %s was saved; starting anew", folder, path.name)
            return 0
        checkpoint.restore_state(folder, fit, fit_key=fit_key)
    except UserError as error:
        log.warning("%s; starting anew", str(error).partition(";")[0])
        return 0
    return step


def _saved(folder: Path) -> dict[str, str]:
    """What a folder's state says of itself; nothing where it is damaged."""
    try:
        return checkpoint.state_position(folder)
    except UserError:
        return {}


def clear_results(folder: Path, *, first_step: int) -> None:
    """Remove an earlier run's results, so that none is taken for this one's."""
    for name in names.RESULTS:
        if name == names.EVALUATIONS and first_step:
            continue
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def first_files(folder: Path) -> list[str]:
    """Which of the files that stand at a run's beginning are there."""
    first = (names.CONFIG, names.HYDRA, names.OVERRIDES, names.HISTORY)
    return [name for name in first if (folder / name).is_file()]


def refuse_lost(folder: Path, files: Sequence[str]) -> None:
    """Let no run end complete that lost a file on the way, as where its folder was deleted while it
    went on writing; raises UserError."""
    if lost := [name for name in files if not (folder / name).is_file()]:
        raise UserError(
            f"{folder} was deleted or moved while the run went on: {', '.join(lost)} gone; start "
            "it again"
        )


@contextmanager
def recorded_failure(
    folder: Path, fit: Fit, facts: dict[str, Any], *, has_begun: Callable[[], bool]
) -> Generator[None]:
    """Record a failure of the body, once training has begun, and let it pass on.

    Before, it leaves nothing of a run that is at its start. A complete run stays complete, whatever
    happens to those who are told of it.
    """
    fresh = not (fit.next_step or fit.next_image)
    try:
        yield
    except BaseException as error:
        with suppress(OSError):  # a full disk must not hide the failure itself
            if not has_begun() and fresh:
                checkpoint.remove_state(folder)
                shutil.rmtree(folder / names.SETTINGS, ignore_errors=True)
            elif has_begun() and _is_worth_a_record(folder, facts["run_key"]):
                message = str(error) or type(error).__name__
                write_record(folder, status="failed", error=message, **facts)
        raise


def _is_worth_a_record(folder: Path, run_key: str) -> bool:
    """Whether a failure is recorded: not over a complete run, nor in what is left of a deleted
    folder, which nobody could resume and no new run could take."""
    return (folder / names.HISTORY).is_file() and not is_complete(folder, run_key)
