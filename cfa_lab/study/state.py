"""The state of one job, from its key: what needs images' hashes and networks' weights.

torch is imported only for networks that no run has used here, and for runs that were cut short.
"""

from pathlib import Path
from typing import Any

from cfa_lab.config import Config
from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.record import INTERRUPTED, record_of
from cfa_lab.run.keys import count_threads, fit_key_of, run_key_of
from cfa_lab.run.tables import depth_of, geometry_of, read_table
from cfa_lab.run.weights import known_hash
from cfa_lab.study.index import RunIndex, reusable
from cfa_lab.study.plan import PlannedJob


def state_of(config: Config, index: RunIndex, seen: dict[str, Any]) -> PlannedJob:
    """A job as it stands; `seen` keeps what was looked at for the next one."""
    if config.resume == "never":
        return PlannedJob(status="new")
    try:
        fit_key, run_key = keys_of(config, seen)
        found = reusable(config, run_key, index)
    except UserError as error:
        return PlannedJob(status="unknown", error=str(error))
    if found is not None:
        return PlannedJob(status="done", found=found)
    begun = index.begun(run_key)
    if begun is None or not (begun / names.STATE).is_file():
        return PlannedJob(status="new")
    return _unfinished(config, begun, fit_key)


def keys_of(config: Config, seen: dict[str, Any]) -> tuple[str, str]:
    """The fit key and the run key of a job; raises UserError where they cannot be computed here."""
    data = f"{config.dataset} {config.category}"
    table = _once(seen, data, lambda: read_table(config))
    weights = _once(seen, f"{config.backbone}", lambda: _weights_hash(config))
    depth = _once(seen, f"{data} {config.image}", lambda: depth_of(config, table))
    geometry = geometry_of(config, depth)
    num_threads = count_threads(config.trainer.num_threads)
    fit_key = fit_key_of(config, table, geometry, weights, num_threads)
    return fit_key, run_key_of(config, table, fit_key)


def _weights_hash(config: Config) -> str:
    found = known_hash(config)
    if found is None:
        from cfa_lab.run.prepare import make_backbone

        found = make_backbone(config)[1]
    return found


def _unfinished(config: Config, folder: Path, fit_key: str) -> PlannedJob:
    from cfa_lab.training import checkpoint

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
