"""One whole log of a run for upload, made of the parts that wandb left and of the run folder.

A part ends where it is torn, a run that was killed and resumed has several, which repeat steps, and
the last seconds before a kill are in none of them: `history.csv` and the record are the truth.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cfa_lab.records.history import Row, read_history
from cfa_lab.records.record import record_of
from cfa_lab.tracking.columns import comparable
from cfa_lab.tracking.log_file import messages, read_log

ONCE = ("header", "run", "exit")
"""Kinds of records of which a log has one."""


class NothingToSend(Exception):
    """Neither log nor folder says which run this is."""


def merged(folder: Path, logs: Sequence[Path]) -> tuple[list[Any], list[str]]:
    """The records of a whole log of the run in `folder`, and the artifacts whose files are gone.

    `logs` are its parts, the oldest first. Raises NothingToSend.
    """
    internal = messages()
    found: dict[str, Any] = {}
    rows: list[Any] = []
    artifacts: dict[str, Any] = {}
    others: list[Any] = []
    for record in (record for log in logs for record in read_log(log)):
        kind = record.WhichOneof("record_type")
        if kind in ONCE:
            found[kind] = found.get(kind, record) if kind != "exit" else record
        elif kind == "history":
            rows.append(record)
        elif kind == "artifact":
            artifacts[record.artifact.name] = record
        else:
            others.append(record)
    truth = record_of(folder)
    if "run" not in found:
        found["run"] = _run_record(internal, truth, logs[-1].stem.removeprefix("run-"))
    if "header" not in found:
        found["header"] = internal.Record()
        found["header"].header.version_info.min_consumer = "0.70.0"
    ended = internal.Record()
    ended.exit.exit_code = 0 if truth.get("status") == "complete" else 1
    moved_from = _folder_in(found["run"])
    gone = [name for name, one in artifacts.items() if not _found_here(one, moved_from, folder)]
    return [
        found["header"],
        found["run"],
        *others,
        *(record for name, record in artifacts.items() if name not in gone),
        *_in_order(internal, rows, _steps(folder)),
        _summary(internal, truth),
        found.get("exit", ended),
    ], gone


def _run_record(internal: Any, truth: Mapping[str, Any], run_id: str) -> Any:
    """What a log begins with, made from a run's own record."""
    try:
        settings = truth["config"]
        tracker = settings["tracker"]
        values = comparable(settings)
        name = f"{settings['backbone']['name']}-{settings['category']}-s{settings['seed']}"
    except (KeyError, TypeError):
        raise NothingToSend from None
    record = internal.Record()
    run = record.run
    run.run_id, run.project, run.job_type = run_id, tracker["project"], "train"
    run.entity, run.run_group = tracker["entity"] or "", tracker["group"] or ""
    run.display_name = name
    run.tags.extend(str(tag) for tag in tracker["tags"])
    for key, value in values.items():
        run.config.update.add(key=key, value_json=json.dumps(value))
    return record


def _folder_in(run: Any) -> str | None:
    """The run folder as it was called when the log was made."""
    for update in run.run.config.update:
        if update.key == "folder":
            return str(json.loads(update.value_json))
    return None


def _found_here(record: Any, moved_from: str | None, folder: Path) -> bool:
    """Whether all files of an artifact are there; their paths become those of the run's folder."""
    for entry in record.artifact.manifest.contents:
        if not entry.local_path:
            continue
        path = there = Path(entry.local_path)
        if moved_from is not None and path.is_relative_to(moved_from):
            path = folder / path.relative_to(moved_from)
        elif "wandb" in path.parts:
            after = len(path.parts) - path.parts[::-1].index("wandb")
            path = folder.joinpath("wandb", *path.parts[after:])
        path = path if path.is_file() else there
        if not path.is_file():
            return False
        entry.local_path = str(path)
    return True


def _steps(folder: Path) -> list[Row]:
    try:
        return read_history(folder)
    except (OSError, ValueError):
        return []


def _in_order(internal: Any, rows: Iterable[Any], steps: Iterable[Row]) -> list[Any]:
    """The rows of a run's history: each step and each evaluation once, in order, then the rest."""
    chosen: dict[tuple[Any, ...], Any] = {}
    for record in rows:
        names = {".".join(item.nested_key) or item.key: item for item in record.history.item}
        values = {
            name: json.loads(names[name].value_json) for name in ("epoch", "step") if name in names
        }
        if "step" in values:
            key = (0, int(values["epoch"]), 0, int(values["step"]))
        elif "epoch" in values:
            key = (0, int(values["epoch"]), 1, 0)
        else:
            key = (1, *sorted(name.partition(".")[0] for name in names if name[0] != "_"))
        chosen[key] = record
    for row in steps:
        key = (0, int(row["epoch"]), 0, int(row["step"]))
        if key not in chosen:
            chosen[key] = record = internal.Record()
            for name, value in row.items():
                record.history.item.add(nested_key=[name], value_json=json.dumps(value))
    ordered = [chosen[key] for key in sorted(chosen)]
    for number, record in enumerate(ordered):
        kept = [item for item in record.history.item if list(item.nested_key) != ["_step"]]
        kept = [item for item in kept if item.key != "_step"]
        history = internal.HistoryRecord(item=kept)
        history.item.add(nested_key=["_step"], value_json=str(number))
        history.step.num = number
        record.history.CopyFrom(history)
    return ordered


def _summary(internal: Any, truth: Mapping[str, Any]) -> Any:
    """The numbers of a run's record as the last word on its summary."""
    record = internal.Record()
    record.summary.SetInParent()  # an empty one would end wandb's helper
    for part in ("metrics", "oracle", "timing"):
        for name, value in (truth.get(part) or {}).items():
            if value is not None:
                record.summary.update.add(key=name, value_json=json.dumps(value))
    return record
