"""One job of a study: reused where it is done, continued where it was left, else computed."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

from cfa_lab.config import Config
from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.folders import is_complete, is_kept, is_original
from cfa_lab.records.record import record_of, write_reuse
from cfa_lab.run.prepare import Preparation, prepare
from cfa_lab.run.run import run
from cfa_lab.study.index import RunIndex, reusable
from cfa_lab.training import checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class JobOutcome:
    """What became of a job; travels between processes."""

    status: str
    """`computed`, `resumed`, `reused` or `failed`."""
    folder: Path
    metrics: dict[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0
    """What this process spent on it."""
    error: str | None = None

    def __str__(self) -> str:
        if self.status == "failed":
            return f"failed: {self.error}"
        auroc = self.metrics.get("test/image_auroc")
        return f"{self.status}, image AUROC {'undefined' if auroc is None else f'{auroc:.4f}'}"


def run_once(
    config: Config, folder: Path, index: RunIndex, *, on_begin: Callable[[Path], None]
) -> JobOutcome:
    """Run what no run of the same key has done yet, in `folder` or, where that is taken, beside it.

    `resume=never` computes in any case. A run found complete leaves a record with `reused_from`; an
    unfinished one moves to `folder` and goes on. Processes at the same key take turns. Raises what
    the run raises. `on_begin` is told the folder as soon as it is there to stay.
    """
    began = time.perf_counter()
    prepared = prepare(config)
    key, fresh = prepared.run_key, config.resume == "never"
    with index.held(key):
        found = None if fresh else reusable(config, key, index, folder)
        if found is not None:
            folder = reuse(config, folder, *found)
            on_begin(folder)
            return JobOutcome(
                status="reused",
                folder=folder,
                metrics=found[1]["metrics"],
                seconds=time.perf_counter() - began,
            )
        folder = _own_folder(folder, key, prepared.fit_key)
        if not fresh:
            _take_over(folder, index, prepared)
        resumed = not fresh and _fit_key(folder) == prepared.fit_key

        def begin() -> None:
            index.add(key, folder)
            on_begin(folder)

        result = run(config, folder, prepared=prepared, on_begin=begin)
    return JobOutcome(
        status="resumed" if resumed else "computed",
        folder=folder,
        metrics=result.evaluation.metrics,
        seconds=time.perf_counter() - began,
    )


def reuse(config: Config, folder: Path, found: Path, record: dict[str, Any]) -> Path:
    """Record a reuse in `folder`, or beside it where that holds another run; returns the folder.

    A complete run of the same key that lies there already stays as it is.
    """
    if is_complete(folder, record["run_key"]):
        return folder
    folder = _own_folder(folder, record["run_key"])
    if found != folder:
        write_reuse(folder, found, record, asdict(config))
    return folder


def _own_folder(folder: Path, run_key: str, fit_key: str = "") -> Path:
    """`folder`, or the first beside it, with the key in its name, that holds no other run.

    A complete run is another one even where its key is the same: nothing is written over it.
    """
    beside = (folder.with_name(f"{folder.name}-{run_key}{end}") for end in _endings())
    return next(path for path in chain([folder], beside) if _is_free(path, run_key, fit_key))


def _endings() -> Iterator[str]:
    return chain([""], (f"-{number}" for number in count(2)))


def _is_free(folder: Path, run_key: str, fit_key: str) -> bool:
    record, fit = record_of(folder), _fit_key(folder)
    if is_original(record):
        return False
    if record.get("run_key") == run_key or (fit and fit == fit_key):
        return True
    return not (fit or is_kept(folder))


def _take_over(folder: Path, index: RunIndex, prepared: Preparation) -> None:
    """Move the unfinished run of the same key to `folder`, so that it goes on there."""
    begun = index.begun(prepared.run_key)
    if begun is None or begun == folder or _fit_key(begun) != prepared.fit_key:
        return
    if (folder / names.STATE).is_file():
        return
    log.info("going on with %s", begun)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(begun, folder)
        index.add(prepared.run_key, folder)


def _fit_key(folder: Path) -> str | None:
    """The fit key of the state that a folder holds; None without a readable one."""
    try:
        return checkpoint.state_position(folder).get("fit_key")
    except UserError:
        return None
