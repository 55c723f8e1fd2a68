"""Run folders as a study: all of them found, sorted by what became of them, each counted once."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.folders import run_folders
from cfa_lab.records.record import INTERRUPTED, SCHEMA, read_record
from cfa_lab.records.shape import what_is_wrong
from cfa_lab.report.settings import (
    flatten,
    label,
    order,
    shown_value,
    usual_values,
    varying_keys,
    with_category,
)

Cells = dict[str, dict[str, dict[int, float]]]
"""Setting -> category -> seed -> value of one metric."""


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """One complete run."""

    folder: Path
    record: dict[str, Any]
    config: dict[str, Any] = field(repr=False)
    """The configuration with dotted keys."""
    category: str
    """With the data set's name before it, where a study has several data sets."""
    setting: str

    @property
    def seed(self) -> int:
        return self.config["seed"]

    @property
    def files(self) -> Path:
        """Where history, diagnostics and figures lie: a reused run's record has them elsewhere."""
        origin = self.record.get("reused_from")
        return self.folder / origin if isinstance(origin, str) else self.folder


@dataclass(frozen=True)
class LeftOut:
    """A folder that is not counted: `failed`, `unfinished`, `unreadable` or `repeated`, and why."""

    folder: Path
    kind: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Study:
    """All that some folders hold, in an order that does not depend on where they lie."""

    runs: list[RecordedRun]
    left_out: list[LeftOut]
    keys: list[str]
    """The configuration keys that make the settings."""
    with_category: list[str] = field(default_factory=list)
    """Those that differ between categories only: of data and images."""
    usual: dict[str, str] = field(default_factory=dict)
    """What settings have where their names do not say otherwise."""

    @cached_property
    def settings(self) -> list[str]:
        return list(dict.fromkeys(run.setting for run in sorted(self.runs, key=self._order)))

    @cached_property
    def categories(self) -> list[str]:
        return sorted({run.category for run in self.runs})

    @cached_property
    def metrics(self) -> list[str]:
        """Names of all `test/...` metrics, in the records' order."""
        names = dict.fromkeys(name for run in self.runs for name in run.record["metrics"])
        return [name for name in names if name.startswith("test/")]

    def values(self, setting: str) -> dict[str, Any]:
        """A setting's values of the varying keys."""
        run = next(run for run in self.runs if run.setting == setting)
        return {key: shown_value(run.config, key) for key in self.keys}

    def cells(self, metric: str, runs: Iterable[RecordedRun] | None = None) -> Cells:
        """The values of a metric, undefined ones left out."""
        found: Cells = {setting: {} for setting in self.settings}
        for run in self.runs if runs is None else runs:
            value = run.record["metrics"].get(metric)
            if value is not None:
                found[run.setting].setdefault(run.category, {})[run.seed] = float(value)
        return found

    def missing(self) -> list[tuple[str, str, int]]:
        """Setting, category and seed of each run that a full grid of these would also have."""
        there = {(run.setting, run.category, run.seed) for run in self.runs}
        seeds = sorted({run.seed for run in self.runs})
        return [
            combination
            for setting in self.settings
            for category in self.categories
            for seed in seeds
            if (combination := (setting, category, seed)) not in there
        ]

    def _order(self, run: RecordedRun) -> tuple[Any, ...]:
        return order(run.config, self.keys)


def collect(folders: Sequence[Path]) -> Study:
    """Read every run below the folders; raises UserError where a folder is not there.

    Runs of one key are the same run and count once. So do runs of one category, setting and seed
    whose keys differ (other images, weights, threads, or settings that have no part): the first in
    the order of their paths.
    """
    found: list[tuple[Path, dict[str, Any]]] = []
    left_out: list[LeftOut] = []
    for folder in _run_folders(folders):
        try:
            record = read_record(folder)
            problem = _problem(folder, record)
        except (UserError, OSError) as error:
            record, problem = None, LeftOut(folder, "unreadable", str(error))
        if problem:
            left_out.append(problem)
        else:
            assert record is not None
            found.append((folder, record))
    configs = [flatten(record["config"]) for _, record in found]
    keys = varying_keys(configs)
    usual = usual_values(configs, keys)
    several = len({config.get("dataset.name") for config in configs}) > 1
    runs = [
        RecordedRun(
            folder=folder,
            record=record,
            config=config,
            category=f"{config.get('dataset.name')}/" * several + config["category"],
            setting=label(config, keys, usual),
        )
        for (folder, record), config in zip(found, configs, strict=True)
    ]
    kept, repeated = _once(runs)
    kept.sort(key=lambda run: (order(run.config, keys), run.category, run.seed))
    return Study(
        runs=kept,
        left_out=left_out + repeated,
        keys=keys,
        with_category=with_category(configs),
        usual=usual,
    )


def _run_folders(folders: Sequence[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for top in folders:
        if not top.is_dir():
            raise UserError(f"{top} is no folder; give folders that hold runs, such as outputs")
        for folder in run_folders(top):
            if (real := folder.resolve()) not in seen:
                seen.add(real)
                yield folder


def _problem(folder: Path, record: dict[str, Any] | None) -> LeftOut | None:
    """What keeps a run from being counted."""
    if record is None:
        return LeftOut(folder, "unfinished", f"no {names.RECORD}: interrupted, or still running")
    if record.get("schema") != SCHEMA:
        return LeftOut(folder, "unreadable", f"{names.RECORD} is no record of schema {SCHEMA}")
    if record.get("error") == INTERRUPTED:
        return LeftOut(folder, "unfinished", "interrupted")
    if record.get("status") != "complete":
        return LeftOut(folder, "failed", str(record.get("error") or "no reason recorded"))
    if (wrong := what_is_wrong(record)) is not None:
        return LeftOut(folder, "unreadable", f"{names.RECORD}: {wrong}")
    return None


def _once(runs: Sequence[RecordedRun]) -> tuple[list[RecordedRun], list[LeftOut]]:
    runs = sorted(runs, key=lambda run: bool(run.record.get("reused_from")))  # the original first
    by_key: dict[str, RecordedRun] = {}
    by_place: dict[tuple[str, str, int], RecordedRun] = {}
    repeated = []
    for run in runs:
        key = str(run.record.get("run_key") or run.folder)
        first = by_key.setdefault(key, run)
        if first is not run:
            same = _numbers(first) == _numbers(run)
            reason = f"the same run as {first.folder}"
            reason += "" if same else ", but with other numbers: its machine or versions differ"
            repeated.append(LeftOut(run.folder, "repeated", reason))
            continue
        first = by_place.setdefault((run.setting, run.category, run.seed), run)
        if first is not run:
            reason = f"as {first.folder}, but with other images, weights or threads"
            reason += ", or settings without a part"
            repeated.append(LeftOut(run.folder, "repeated", reason))
    return list(by_place.values()), repeated


def _numbers(run: RecordedRun) -> str:
    return json.dumps(run.record["metrics"], sort_keys=True)
