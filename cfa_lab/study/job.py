"""One job of a study: reused where it is done, continued where it was left, else computed."""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from cfa_lab.config import Config
from cfa_lab.records import names
from cfa_lab.run.prepare import Preparation, prepare
from cfa_lab.run.run import run
from cfa_lab.study.index import RunIndex, reusable
from cfa_lab.study.reuse import JobOutcome, own_folder, reuse, saved_fit_key

log = logging.getLogger(__name__)


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
        folder = own_folder(folder, key, prepared.fit_key)
        if not fresh:
            _take_over(folder, index, prepared)
        resumed = not fresh and saved_fit_key(folder) == prepared.fit_key

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


def _take_over(folder: Path, index: RunIndex, prepared: Preparation) -> None:
    """Move the unfinished run of the same key to `folder`, so that it goes on there."""
    begun = index.begun(prepared.run_key)
    if begun is None or begun == folder or saved_fit_key(begun) != prepared.fit_key:
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
