"""wandb's helper process: what it says, how it is ended, and how to wait for it a bounded time."""

import logging
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)

_late: list[threading.Thread] = []
"""Those who were still at something when their time was over."""

SECONDS_AFTER_ALL = 5.0
"""What an action may take to end once its reason to wait is gone."""

_REFUSED = re.compile(
    r'"msg":"((?:filestream: fatal error|filestream: failed|runupserter: failed|artifacts?: failed'
    r'|filetransfer: failed)[^"]{0,160})'
)
"""What wandb's helper writes of data that it gives up."""


def refused(run: "wandb.Run") -> str | None:
    """Why the server did not take what it was sent, by the helper's own log; None where it did."""
    try:
        log_file = Path(run.dir).parent / "logs" / "debug-internal.log"
        lines = log_file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        if '"level":"ERROR' in line and (found := _REFUSED.search(line)):
            return found[1].replace('\\"', '"').partition(" url=")[0]
    return None


def clear_temporary(wandb: Any) -> None:
    """Remove what wandb keeps in the temporary folder until the process ends: 14 MB a run.

    Everything that counts was copied into the run folder by then.
    """
    with suppress(AttributeError):
        places = [wandb.sdk.data_types._private.MEDIA_TMP, wandb.Artifact._TMP_DIR]
        for path in (path for place in places for path in Path(place.name).iterdir()):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def shut_down(wandb: Any, *, seconds: float = 30.0) -> None:
    """End wandb's helper process, which knows the folder and the settings of this run only.

    It is killed where it has not ended in `seconds`: it would try for minutes to reach a server.
    """
    helper = _helper(wandb)
    given_up = helper is not None and helper.poll() is not None
    try:
        within(seconds, wandb.teardown, or_else=helper.kill if helper else None)
    except (Exception, SystemExit) as reason:  # wandb raises SystemExit if its helper died badly
        if not given_up:
            log.warning("W&B's helper process did not end in order: %s", one_line(reason))
        with suppress(Exception, SystemExit):
            wandb.teardown()  # what comes after the helper's end: credentials are forgotten


def give_up(wandb: Any, run: "wandb.Run") -> None:
    """Close a run whose server does not answer: without its helper nothing is waited for."""
    helper = _helper(wandb)
    if helper is not None:
        helper.kill()
        helper.wait()
    with suppress(Exception):
        within(SECONDS_AFTER_ALL, run.finish)
    with suppress(AttributeError):  # else it counts as open, and the next one stays offline
        wandb.sdk.lib.module.unset_globals()


def within(
    seconds: float, action: Callable[[], object], *, or_else: Callable[[], object] | None = None
) -> bool:
    """Do something that may never end, in a thread of its own; whether it ended in time.

    What it raises is raised here. `or_else` is done where it is late, and should make it end.
    """
    raised: list[BaseException] = []

    def work() -> None:
        try:
            action()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    late = thread.is_alive()
    if late:
        _late.append(thread)
    if late and or_else is not None:
        or_else()
        thread.join(SECONDS_AFTER_ALL)
    if raised and not late:
        raise raised[0]
    return not late


def recover(wandb: Any) -> None:
    """Begin afresh after an earlier run was too late: what it left behind knows another folder."""
    if _late:
        for thread in _late:
            thread.join(SECONDS_AFTER_ALL)
        _late.clear()
        shut_down(wandb, seconds=SECONDS_AFTER_ALL)


def _helper(wandb: Any) -> "subprocess.Popen[bytes] | None":
    """wandb's helper process, where this version of wandb keeps it; None where there is none."""
    setup = getattr(getattr(wandb, "sdk", None), "wandb_setup", None)
    process = getattr(setup, "_singleton", None)
    for name in ("_connection", "_proc", "_process"):
        process = getattr(process, name, None)
    return process


def one_line(error: BaseException) -> str:
    """What an exception says, without what it goes on to explain."""
    return next(iter(str(error).splitlines()), type(error).__name__)
