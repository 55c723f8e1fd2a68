"""What a study has done and what is left, without running anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfa_lab.config import Config
from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.record import INTERRUPTED, record_of
from cfa_lab.run.keys import fit_key_of, run_key_of
from cfa_lab.run.prepare import count_threads, make_backbone, read_table
from cfa_lab.study.index import RunIndex
from cfa_lab.study.job import reusable
from cfa_lab.training import checkpoint


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """A job as it stands before the study starts."""

    status: str
    """`done`, `unfinished`, `failed`, `new`, or `unknown` where its key cannot be computed here."""
    found: tuple[Path, dict[str, Any]] | None = None
    """Folder and record of the complete run."""
    missing_ratio: float = 1.0
    """Share of the training that is left."""
    error: str | None = None
    """Why the job cannot start, as far as can be told from here."""


def plan(configs: Sequence[Config], index: RunIndex) -> list[PlannedJob]:
    """The state of each job.

    Needs the training images' hashes and the networks' weights; each data set, image and network is
    looked at once. Where nothing has run yet, nothing is looked at.
    """
    if index.is_empty:
        return [PlannedJob(status="new") for _ in configs]
    seen: dict[str, Any] = {}
    return [_plan(config, index, seen) for config in configs]


def seconds_left(configs: Sequence[Config], planned: Sequence[PlannedJob]) -> float | None:
    """Computing time of what is left, from the finished jobs: those of the same category and
    backbone, else all; None where none is finished."""
    spent: dict[tuple[str, str] | None, list[float]] = {}
    for config, job in zip(configs, planned, strict=True):
        if job.found is not None:
            seconds = sum(job.found[1].get("timing", {}).values())
            for group in (_group(config), None):
                spent.setdefault(group, []).append(seconds)
    if None not in spent:
        return None
    total = 0.0
    for config, job in zip(configs, planned, strict=True):
        if job.status != "done":
            alike = spent.get(_group(config), spent[None])
            total += job.missing_ratio * sum(alike) / len(alike)
    return total


def _group(config: Config) -> tuple[str, str]:
    return config.category, config.backbone.name


def _plan(config: Config, index: RunIndex, seen: dict[str, Any]) -> PlannedJob:
    if config.resume == "never":
        return PlannedJob(status="new")
    try:
        table = _once(seen, f"{config.dataset} {config.category}", lambda: read_table(config))
        weights = _once(seen, f"{config.backbone}", lambda: make_backbone(config)[1])
        fit_key = fit_key_of(config, table, weights, count_threads(config.trainer.num_threads))
        run_key = run_key_of(config, table, fit_key)
        found = reusable(config, run_key, index)
    except UserError as error:
        return PlannedJob(status="unknown", error=str(error))
    if found is not None:
        return PlannedJob(status="done", found=found)
    begun = index.begun(run_key)
    if begun is None or not (begun / names.STATE).is_file():
        return PlannedJob(status="new")
    return _unfinished(config, begun, fit_key)


def _unfinished(config: Config, folder: Path, fit_key: str) -> PlannedJob:
    try:
        position = checkpoint.state_position(folder)
    except UserError:
        return PlannedJob(status="new")
    if position.get("fit_key") != fit_key:
        return PlannedJob(status="new")
    record = record_of(folder)
    failed = record.get("status") == "failed" and record.get("error") != INTERRUPTED
    done = int(position["next_epoch"]) / max(1, config.trainer.epochs)
    return PlannedJob(status="failed" if failed else "unfinished", missing_ratio=1 - done)


def _once(seen: dict[str, Any], key: str, make: Any) -> Any:
    """What `make` gives or raises, asked once: a hub that cannot be reached costs seconds."""
    if key not in seen:
        try:
            seen[key] = make()
        except UserError as error:
            seen[key] = error
    if isinstance(seen[key], UserError):
        raise seen[key]
    return seen[key]
