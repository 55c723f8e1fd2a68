"""How a W&B run is opened: the mode, one bounded attempt, and offline where that fails."""

import logging
import os
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.tracking.wandb_helper import one_line, recover, shut_down

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)

OF_SWEEPS = ("WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH")
"""What an agent tells of its sweep, besides a run's id."""
UNSENT = "cfa_lab-unsent"
"""Stands beside the log of an online run until the server has all of it."""


def import_wandb() -> Any:
    """The module `wandb`, imported only by those who use it; raises UserError where it is not."""
    try:
        import wandb
    except ModuleNotFoundError as error:
        if error.name != "wandb":
            raise
        raise UserError(
            "The tracker 'wandb' needs the package wandb, which is not installed;"
            " run `pip install wandb` or use tracker=none."
        ) from None
    return wandb


def open_run(
    wandb: Any,
    arguments: dict[str, Any],
    *,
    folder: Path,
    run_id: str | None,
    mode: str,
    init_timeout: float,
    finish_timeout: float,
) -> "wandb.Run":
    """Open the run that `arguments` of `wandb.init` describe, online if `mode` and network allow.

    Its files go below `folder/wandb`. An attempt to go online ends after `init_timeout` seconds;
    with `mode` "auto" the run is then kept offline. Raises `UserError` where wandb refuses an
    argument, and in mode "online" where there is no connection.
    """

    def init(mode: str) -> "wandb.Run":
        earlier_parts = set(folder.glob(f"{names.WANDB}/run-*"))
        try:
            return wandb.init(
                **arguments,
                id=chosen_id,
                resume="allow",
                dir=folder,
                mode=mode,
                reinit="finish_previous",
                save_code=False,
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    init_timeout=init_timeout,
                    finish_timeout=finish_timeout,
                    finish_timeout_raises=True,
                ),
            )
        except wandb.Error:
            for part in set(folder.glob(f"{names.WANDB}/run-*")) - earlier_parts:
                shutil.rmtree(part, ignore_errors=True)
            raise

    recover(wandb)
    allowed = choose_mode(wandb, mode)
    # One id for both attempts, as the server may have heard the first without answering.
    chosen_id = run_id or _set_up(wandb).run_id or secrets.token_hex(8)
    try:
        run = init(allowed)
    except wandb.errors.CommError as reason:
        if mode == "online":
            raise UserError(
                f"W&B did not open a run ({one_line(reason)}); check the network and"
                " `wandb login`, or use tracker.mode=offline."
            ) from None
        log.warning("W&B did not open a run, so it is kept offline: %s", one_line(reason))
        shut_down(wandb)  # it goes on trying, and holds the id
        run = init("offline")
    except (wandb.errors.UsageError, ValueError) as reason:  # pydantic's errors are ValueErrors
        raise UserError(f"W&B refuses the run: {one_line(reason)}") from None
    if run.offline:
        log.info("W&B is offline; `python -m cfa_lab sync %s` uploads the run", folder)
    else:
        mark_unsent(run)
        if run.url:
            log.info("W&B shows the run at %s", run.url)
    return run


def choose_mode(wandb: Any, mode: str) -> str:
    """Turn "auto", "online" or "offline" into wandb's own mode, by what is configured.

    Raises `UserError` for "online" without usable credentials.
    """
    settings = _set_up(wandb)
    if mode == "offline":
        return "offline"
    asked = settings.mode if mode == "auto" else "online"
    if asked not in ("online", "shared"):
        return asked
    try:
        if wandb.login(prompt=False, verify=False):
            return asked
        reason = "no API key is configured"
    except wandb.errors.AuthenticationError as error:
        reason = one_line(error)
        log.warning("W&B cannot use the credentials it found: %s", reason)
    if mode == "online":
        raise UserError(
            f"W&B cannot go online: {reason}; run `wandb login`, or use tracker.mode=offline."
        )
    return "offline"


def require_connection(wandb: Any, *, timeout: float = 10.0) -> None:
    """Raise `UserError` unless a key is configured and its server answers in `timeout` seconds.

    A mode that was set for runs, such as `WANDB_MODE=offline`, is left aside. Whether the server
    takes the key is for wandb to find out: asked of a server that does not answer, its helper
    process keeps trying, and keeps whoever ends it waiting.
    """
    settings = _set_up(wandb, mode="online")
    try:
        configured = wandb.login(prompt=False, verify=False)
    except (wandb.Error, ValueError) as error:
        raise UserError(
            f"W&B cannot use the API key ({one_line(error)}); run `wandb login`"
        ) from None
    if not configured:
        raise UserError("no W&B API key is configured; run `wandb login`, or set WANDB_API_KEY")
    try:
        urlopen(settings.base_url, timeout=timeout).close()
    except HTTPError:
        pass  # an answer, if not a page
    except (OSError, HTTPException) as error:
        raise UserError(
            f"W&B cannot be reached at {settings.base_url} ({one_line(error)}); check the network"
        ) from None


def _set_up(wandb: Any, **settings: Any) -> "wandb.Settings":
    """What wandb knows from the environment and its settings files, with its console quiet.

    Raises `UserError` where it refuses what it finds there.
    """
    try:
        return wandb.setup(wandb.Settings(silent=True, **settings)).settings
    except (wandb.Error, ValueError) as reason:  # pydantic's errors are ValueErrors
        raise UserError(
            f"W&B refuses what the environment or its settings files say ({_refused(reason)}); "
            "correct or unset it, or use tracker=none"
        ) from None


def _refused(reason: Any) -> str:
    """What an error says of settings, by the variables that hold them."""
    if not hasattr(reason, "errors"):
        return one_line(reason)
    told = [(" ".join(map(str, error["loc"])), error["msg"]) for error in reason.errors()]
    return "; ".join(f"WANDB_{name.upper()}: {message}" for name, message in told)


@contextmanager
def without_foreign_sweep(run_id: str | None) -> Generator[None]:
    """Hide a sweep that was left in the shell: wandb takes project and id from it, not from us.

    A sweep's agent gives each run its id as well (`WANDB_RUN_ID`); one that has another, or none,
    is no run of the sweep.
    """
    given = os.environ.get("WANDB_RUN_ID")
    theirs = bool(given) and run_id in (None, given)
    hidden = {n: os.environ.pop(n) for n in OF_SWEEPS if n in os.environ and not theirs}
    if hidden:
        log.warning(
            "%s is not used: no agent gave this run its id; unset it if it was left in the shell",
            ", ".join(f"{name}={value}" for name, value in hidden.items()),
        )
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextmanager
def keep_files_below(folder: Path) -> Generator[None]:
    """Point wandb's staging area and cache into the run folder, unless the user chose others."""
    places = {"WANDB_DATA_DIR": folder, "WANDB_CACHE_DIR": folder / "cache"}
    ours = {name: str(place) for name, place in places.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def mark_unsent(run: "wandb.Run") -> None:
    """Note, beside an online run's log, that the server has not got all of it."""
    with suppress(OSError):
        (Path(run.dir).parent / UNSENT).touch()


def mark_sent(run: "wandb.Run") -> None:
    """Take the note away."""
    with suppress(OSError):
        (Path(run.dir).parent / UNSENT).unlink(missing_ok=True)
