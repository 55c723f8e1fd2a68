"""What a study has done and what is left, without running anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfa_lab.config import Config
from cfa_lab.study.index import RunIndex


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
    from cfa_lab.study.state import state_of

    seen: dict[str, Any] = {}
    return [state_of(config, index, seen) for config in configs]


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
