"""The record of a run, its truth: what it found, how, where, and whether it is complete."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cfa_lab.errors import UserError
from cfa_lab.files import write_atomically
from cfa_lab.records import names
from cfa_lab.texts import read_json

SCHEMA = 1
INTERRUPTED = "KeyboardInterrupt"
"""The error of a run that somebody stopped: it is unfinished, nothing was wrong with it."""


def write_record(
    folder: Path,
    *,
    status: str,
    run_key: str,
    config: Mapping[str, Any],
    metrics: Mapping[str, float | None] | None = None,
    intervals: Mapping[str, Any] | None = None,
    no_intervals: Mapping[str, str] | None = None,
    oracle: Mapping[str, float | None] | None = None,
    undefined: Mapping[str, str] | None = None,
    protocol: Mapping[str, Any] | None = None,
    timing: Mapping[str, float] | None = None,
    environment: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> None:
    """Write a run's record in one piece; `status` is `complete` or `failed`."""
    record = {
        "schema": SCHEMA,
        "status": status,
        "run_key": run_key,
        "config": config,
        "metrics": metrics or {},
        "intervals": intervals or {},
        "no_intervals": no_intervals or {},
        "oracle": oracle or {},
        "undefined": undefined or {},
        "protocol": protocol or {},
        "timing": timing or {},
        "environment": environment or {},
        "error": error,
    }
    _write(folder, record)


def write_reuse(folder: Path, found: Path, record: dict[str, Any], config: dict[str, Any]) -> None:
    """Record in `folder` that the run found elsewhere stands for this one, too."""
    folder.mkdir(parents=True, exist_ok=True)
    reused_from = Path(os.path.relpath(found, folder)).as_posix()
    _write(folder, record | {"config": config, "reused_from": reused_from})


def read_record(folder: Path) -> dict[str, Any] | None:
    """A run folder's record, None where there is none; raises UserError where it is damaged."""
    path = folder / names.RECORD
    if not path.is_file():
        return None
    try:
        record = read_json(path)
    except ValueError as error:  # neither JSON nor even text
        raise UserError(f"{path} is damaged ({error}); delete it or run again") from error
    if not isinstance(record, dict):
        raise UserError(f"{path} is no record of a run; delete it or run again")
    return record


def record_of(folder: Path) -> dict[str, Any]:
    """A folder's record; empty where there is none or it is damaged."""
    try:
        return read_record(folder) or {}
    except (UserError, OSError):
        return {}


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    write_atomically(folder / names.RECORD, json.dumps(record, indent=2, allow_nan=False) + "\n")
