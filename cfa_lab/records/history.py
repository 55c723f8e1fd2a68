"""A run's steps and the evaluations on its way: two CSV files, their writers and all their readers.

A crash may tear off the end of the history's last line; what is left of it is never read.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cfa_lab.errors import UserError
from cfa_lab.files import write_csv
from cfa_lab.records import names
from cfa_lab.texts import read_text

HISTORY_COLUMNS = (
    "epoch",
    "step",
    "train/loss",
    "train/attraction",
    "train/repulsion",
    "train/radius",
    "train/active_attraction",
    "train/active_repulsion",
)
ATTRACTION_AFTER = "train/attraction_after"
SOLVED_COLUMNS = (*HISTORY_COLUMNS, ATTRACTION_AFTER)
"""Of a descriptor that was solved for: one step, its attraction before and after it."""

KINDS = {"epoch": int, "step": int}
"""All other columns are float."""

NUM_POINTS = 40
"""Rows of a trace."""

Row = dict[str, float]
"""One step, keyed by the columns; epoch and step are int."""
Trace = dict[str, list[float]]
"""Column -> its values at the kept steps; `step` among them."""


def write_history(
    folder: Path,
    rows: Iterable[Mapping[str, object]],
    columns: Sequence[str] = HISTORY_COLUMNS,
) -> Path:
    """Write a run's history, complete or not at all; returns the file, to which lines are added."""
    path = folder / names.HISTORY
    write_csv(path, columns, rows)
    return path


def read_history(folder: Path) -> list[Row]:
    """All steps of a run's history; [] where there is none.

    Raises `UserError` where the columns are not those of this version or a line is damaged.
    """
    try:
        return list(_steps(folder))
    except FileNotFoundError:
        return []


def read_trace(folder: Path) -> Trace:
    """About 40 evenly spaced steps of a run's history, the last among them; {} without any.

    Damaged lines are passed over, a damaged file is none.
    """
    try:
        rows = list(_steps(folder, most=NUM_POINTS, skip_damaged=True))
    except (OSError, ValueError):
        return {}
    return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}


def read_columns(folder: Path, columns: Sequence[str]) -> list[list[float]] | None:
    """The values of some columns of a run's history; None where it is gone or damaged."""
    try:
        rows = list(_steps(folder, columns))
    except (OSError, ValueError):
        return None
    return [[row[name] for row in rows] for name in columns]


def count_steps(folder: Path) -> int:
    """How many steps a run's history has, without parsing them; 0 where it is gone or damaged."""
    try:
        return len(_lines(folder / names.HISTORY)) - 1
    except (OSError, ValueError):
        return 0


def holds_until(folder: Path, *, num_steps: int, epochs: Sequence[int], before_epoch: int) -> bool:
    """Whether the two files hold what a run wrote before the state that it goes on from, once each.

    These are its first `num_steps` steps, and the evaluations after `epochs` among those before
    `before_epoch`. What was written later is cut off as it goes on.
    """
    if not num_steps:
        return True  # both are begun anew
    try:
        steps = [row["step"] for row in read_history(folder)]
        evaluated = [row["epoch"] for row in read_evaluations(folder)]
    except (OSError, ValueError):
        return False
    before = [epoch for epoch in evaluated if epoch is not None and epoch < before_epoch]
    return len(steps) >= num_steps and steps == [*range(len(steps))] and before == [*epochs]


def _steps(
    folder: Path,
    columns: Sequence[str] | None = None,
    *,
    most: int | None = None,
    skip_damaged: bool = False,
) -> Iterator[Row]:
    """Each step, or `most` of them, by all columns or some that every history has.

    Only these are parsed: a study's histories together have millions of lines. Raises OSError,
    UnicodeDecodeError or `UserError`.
    """
    lines = _lines(path := folder / names.HISTORY)
    head = lines[0].split(",")
    chosen = range(1, len(lines))
    if most is not None and most < len(chosen):
        chosen = np.linspace(1, len(lines) - 1, most).round().astype(int)
    wanted = [(name, head.index(name), KINDS.get(name, float)) for name in columns or head]
    for i in chosen:
        cells = lines[i].split(",")
        try:
            if len(cells) != len(head):
                raise ValueError
            values = {name: kind(cells[place]) for name, place, kind in wanted}
        except ValueError:
            if skip_damaged:
                continue
            raise UserError(
                f"{path}, line {i + 1} is damaged ('{lines[i]}'); start the run anew"
            ) from None
        yield values


def _lines(path: Path) -> list[str]:
    """The header and all whole lines of a history."""
    text = read_text(path)
    lines = text[: text.rfind("\n") + 1].splitlines() or [""]
    if tuple(lines[0].split(",")) not in (HISTORY_COLUMNS, SOLVED_COLUMNS):
        raise UserError(
            f"{path} has the columns '{lines[0]}', but '{','.join(HISTORY_COLUMNS)}' are needed; "
            "start the run anew"
        )
    return lines


def write_evaluations(folder: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a run's evaluations, a row an evaluated epoch, complete or not at all."""
    columns = dict.fromkeys(key for row in rows for key in row)
    write_csv(folder / names.EVALUATIONS, tuple(columns), rows)


def read_evaluations(folder: Path) -> list[dict[str, float | None]]:
    """A run's evaluations, `epoch` as int; None where a metric was undefined; [] without any.

    Raises `UserError` where the file is damaged.
    """
    path = folder / names.EVALUATIONS
    if not path.is_file():
        return []
    try:
        head, *rows = csv.reader(read_text(path).splitlines())
        if head[:1] != ["epoch"]:
            raise ValueError("its first column is not epoch")
        return [
            {
                "epoch": int(epoch),
                **{
                    name: float(value) if value else None
                    for name, value in zip(head[1:], values, strict=True)
                },
            }
            for epoch, *values in rows
        ]
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error}); start the run anew") from error


def read_epochs(folder: Path) -> dict[str, dict[int, float]]:
    """Metric -> epoch -> value, from a run's evaluations; {} where they are gone or damaged."""
    try:
        rows = read_evaluations(folder)
    except (OSError, ValueError):
        return {}
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        epoch = int(row.pop("epoch") or 0)
        for metric, value in row.items():
            values = found.setdefault(metric, {})
            if value is not None:
                values[epoch] = value
    return found
