"""Images scored as they appear in a folder: each once, whole, also after a restart."""

import json
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfa_lab.deploy.intake import modified_at, take_in
from cfa_lab.deploy.runtime import Runtime
from cfa_lab.deploy.scan import Result, scored_batches
from cfa_lab.deploy.sources import images_below
from cfa_lab.deploy.table import Key, PredictionTable
from cfa_lab.deploy.writer import Outputs, Writer
from cfa_lab.errors import UserError

SETTLE_SECONDS = 1.0
POLL_SECONDS = 0.2
PATIENCE = 10.0
"""How many times as long a file has to stand still that cannot be read, before it counts as bad."""


@dataclass(frozen=True)
class _Seen:
    """A file as it was, and since when."""

    size: int
    modified: int
    since: float


class Arrivals:
    """Tells which files of a folder are complete and new.

    A file is complete when its size and time have stood still for `settle` seconds.
    """

    def __init__(self, folder: Path, *, settle: float, done: set[Key]):
        self._folder, self._settle, self._done = folder, settle, done
        self._seen: dict[str, _Seen] = {}

    def complete(self, now: float) -> list[Path]:
        """Images that are complete at `now` (seconds since the epoch) and not done yet."""
        found: list[Path] = []
        seen: dict[str, _Seen] = {}
        for path in images_below(self._folder):
            try:
                status = path.stat()
            except OSError:  # gone again, or not ours to read
                continue
            name, modified = str(path), status.st_mtime_ns
            if (name, modified) in self._done:
                continue
            before = self._seen.get(name)
            if before is None or (before.size, before.modified) != (status.st_size, modified):
                before = _Seen(status.st_size, modified, now)
            seen[name] = before
            if now - before.since >= self._settle and status.st_size:
                found.append(path)
        self._seen = seen
        return found

    def stands_still(self, path: Path, now: float) -> float:
        """For how many seconds a file has not changed."""
        before = self._seen.get(str(path))
        return 0.0 if before is None else now - before.since


def run(runtime: Runtime, folder: Path, outputs: Outputs, *, settle: float) -> None:
    """Watch until SIGTERM or Ctrl-C; one JSON line an image on standard output.

    What was scored stands in the table in `outputs.folder`, so a restart begins where this ended.
    """
    if not folder.is_dir():
        raise UserError(f"--watch {folder} is no folder; make it, or watch another")
    if not settle >= 0:
        raise UserError(f"--settle is {settle}; allowed: 0 or more seconds")
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in _ENDS}
    try:
        with (
            PredictionTable(outputs.folder, resume=True) as table,
            Writer(table, outputs, _tell) as writer,
        ):
            print(f"watching {folder}; table: {table.path}", file=sys.stderr, flush=True)
            arrivals = Arrivals(folder, settle=settle, done=table.done)
            while not stop.is_set():
                _score_arrived(
                    runtime, arrivals, table, writer, outputs, stop, patience=PATIENCE * settle
                )
                stop.wait(POLL_SECONDS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_ENDS = (signal.SIGTERM, signal.SIGINT)


def _score_arrived(
    runtime: Runtime,
    arrivals: Arrivals,
    table: PredictionTable,
    writer: Writer,
    outputs: Outputs,
    stop: threading.Event,
    *,
    patience: float,
) -> None:
    for path in arrivals.complete(time.time()):
        if stop.is_set():
            return
        intake = take_in(path, runtime.description.image, outputs.longest_side)
        if modified_at(path) != intake.modified:
            continue  # it was being written after all
        if intake.error is not None:
            # whoever writes slowly may pause for longer than files take to settle
            if arrivals.stands_still(path, time.time()) >= patience:
                writer.put(Result(intake, None, 0.0, intake.error))
        elif table.contents.get(str(path)) == intake.content:
            # decoders need not read to the last byte: it was scored before its end was there
            table.done.add((str(path), intake.modified))
        else:
            writer.put(next(scored_batches(runtime, [[intake]]))[0])
        writer.wait()  # so that the table knows it before the folder is looked at again


def _tell(row: dict[str, Any]) -> None:
    print(json.dumps({name: value for name, value in row.items() if value is not None}), flush=True)
