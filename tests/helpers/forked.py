"""Runs as children of this process, which has imported everything, so that a run takes a second."""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from cfa_lab.cli import main as command
from cfa_lab.run import watch
from helpers.tiny import TINY_RUN

SETTINGS = [*TINY_RUN, "trainer.epochs=4", "evaluation.every=2", "evaluation.cases=1"]
SETTINGS += ["evaluation.resamples=20"]
SEEDS = (0, 1, 2)
WRITES = ("os.rename", "os.remove", "os.mkdir", "shutil.rmtree")
TRIES = 4
"""Commands after which a run has to be complete."""


def forked(arguments: list[str], place: Path, prepare: Callable[[], object] = lambda: None) -> int:
    """Start the command line in a child; returns its process id."""
    stops = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # Python swallows those of its own forking
    child = os.fork()
    if not child:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the program listens
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
        _run(arguments, place, prepare)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
    return child


def _run(arguments: list[str], place: Path, prepare: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        os.chdir(place)
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(said, 1)
        os.dup2(said, 2)
        watch.SECONDS_BETWEEN_STATES = 0.0
        sys.argv = ["cfa_lab", *arguments]
        prepare()
        command()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a child; its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def watching(place: Path, react: Callable[[int], object]) -> Callable[[], None]:
    """Let `react` see the number of each change that a process makes to files below `place`."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
        if (writes or event in WRITES) and str(arguments[0]).startswith(str(place)):
            count += 1
            react(count)

    return lambda: sys.addaudithook(hook)


def said(place: Path) -> str:
    """All that the commands in a place printed."""
    return (place / "said.txt").read_text(errors="replace")


def results(folder: Path) -> dict[str, Any] | None:
    """What must not differ; None where the run is not complete."""
    try:
        record = json.loads((folder / "metrics.json").read_text())
        if record["status"] != "complete":
            return None
        origin = folder / record.get("reused_from", ".")
        files = ("history.csv", "evaluations.csv", "predictions.csv", "model.safetensors")
        kept = {name: (origin / name).read_bytes() for name in files}
        return kept | {part: record[part] for part in ("metrics", "oracle", "intervals")}
    except (OSError, ValueError, KeyError):
        return None
