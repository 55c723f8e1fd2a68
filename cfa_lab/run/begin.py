"""A run folder's life: what is there when a run begins, and what a failure leaves."""

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.record import record_of, write_record
from cfa_lab.training import checkpoint
from cfa_lab.training.state import Fit


def first_step(folder: Path, *, resume: str, fit_key: str) -> int:
    """The step at which an unfinished run goes on; 0 for a new one, whose old state is removed.

    `resume` is the configured value; a folder named there must fit. Raises UserError otherwise.
    """
    named = resume not in ("auto", "never")
    if resume == "never":
        checkpoint.remove_state(folder)
    position = checkpoint.state_position(folder)
    if position and position["fit_key"] != fit_key:
        if named:
            raise UserError(
                f"{folder} was started with other settings, images or weights "
                f"(key {position['fit_key']}, now {fit_key}); start a new run without resume="
            )
        checkpoint.remove_state(folder)
        return 0
    return int(position.get("next_step", 0))


def refuse_other_run(folder: Path, *, resume: str, fit_key: str) -> None:
    """Keep a run out of a folder that holds one, whatever named the folder.

    What is unfinished and of the same fit goes on there. Raises UserError otherwise.
    """
    if resume not in ("auto", "never"):
        return  # `first_step` sees to a folder that was named
    same = checkpoint.state_position(folder).get("fit_key") == fit_key and resume == "auto"
    if not same or record_of(folder).get("status") == "complete":
        raise UserError(f"{folder} holds a run already; choose another hydra.run.dir or resume it")


def begin(folder: Path, fit: Fit, *, fit_key: str, first_step: int) -> None:
    """Make the folder that of a run on its way: the fit goes on from its state and is saved there.

    Nothing of an earlier run is touched before the state is known to belong to this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.restore_state(folder, fit, fit_key=fit_key)
    checkpoint.save_state(folder, fit, fit_key=fit_key)  # now it can be resumed
    clear_results(folder, first_step=first_step)


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


@contextmanager
def recorded_failure(
    folder: Path, facts: dict[str, Any], *, has_begun: Callable[[], bool]
) -> Generator[None]:
    """Record a failure of the body, once training has begun, and let it pass on."""
    try:
        yield
    except BaseException as error:
        if has_begun():
            message = str(error) or type(error).__name__
            with suppress(OSError):  # a full disk must not hide the failure itself
                write_record(folder, status="failed", error=message, **facts)
        raise
