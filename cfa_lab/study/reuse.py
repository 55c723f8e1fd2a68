"""What became of a job, and a job that another run stands for; torch is not needed for that."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

from cfa_lab.config import Config
from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.folders import is_complete, is_kept, is_original
from cfa_lab.records.record import record_of, write_reuse


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


def reuse(config: Config, folder: Path, found: Path, record: dict[str, Any]) -> Path:
    """Record a reuse in `folder`, or beside it where that holds another run; returns the folder.

    A complete run of the same key that lies there already stays as it is.
    """
    if is_complete(folder, record["run_key"]):
        return folder
    folder = own_folder(folder, record["run_key"])
    if found != folder:
        write_reuse(folder, found, record, asdict(config))
    return folder


def own_folder(folder: Path, run_key: str, fit_key: str = "") -> Path:
    """`folder`, or the first beside it, with the key in its name, that holds no other run.

    A complete run is another one even where its key is the same: nothing is written over it.
    """
    beside = (folder.with_name(f"{folder.name}-{run_key}{end}") for end in _endings())
    return next(path for path in chain([folder], beside) if _is_free(path, run_key, fit_key))


def _endings() -> Iterator[str]:
    return chain([""], (f"-{number}" for number in count(2)))


def _is_free(folder: Path, run_key: str, fit_key: str) -> bool:
    record, fit = record_of(folder), saved_fit_key(folder)
    if is_original(record):
        return False
    if record.get("run_key") == run_key or (fit and fit == fit_key):
        return True
    return not (fit or is_kept(folder))


def saved_fit_key(folder: Path) -> str | None:
    """The fit key of the state that a folder holds; None without a readable one."""
    if not (folder / names.STATE).is_file():
        return None
    from cfa_lab.training import checkpoint  # with torch

    try:
        return checkpoint.state_position(folder).get("fit_key")
    except UserError:
        return None
