"""Training traces and hypersphere diagnostics of a run, thinned for a page that shows many."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from cfa_lab.tracking.files import HISTORY_COLUMNS, read_evaluations

NUM_POINTS = 40

DIAGNOSTICS = {
    *("num_images", "radius", "border_distance", "sqrt_alpha", "inside", "median_distance"),
    *("bank", "histogram"),
}
"""What this version's `diagnostics.json` holds and the page shows."""

Trace = dict[str, list[float]]
"""Column of `history.csv` -> its values at the kept steps; `step` among them."""


def read_trace(folder: Path) -> Trace:
    """About 40 evenly spaced rows of a run's history, the last one among them; {} without any.

    Only these rows are parsed: a study's histories together have millions.
    """
    try:
        lines = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    if len(lines) < 2 or lines[0] != ",".join(HISTORY_COLUMNS):
        return {}
    chosen = np.unique(np.linspace(1, len(lines) - 1, NUM_POINTS).round().astype(int))
    rows = []
    for i in chosen:
        values = lines[i].split(",")
        try:
            rows.append([float(value) for value in values])
        except ValueError:
            continue
    rows = [row for row in rows if len(row) == len(HISTORY_COLUMNS)]
    return (
        {name: [row[i] for row in rows] for i, name in enumerate(HISTORY_COLUMNS)} if rows else {}
    )


def read_diagnostics(folder: Path) -> dict[str, Any] | None:
    """A run's `diagnostics.json`; None where there is none, or none of this version."""
    try:
        record = json.loads((folder / "diagnostics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if (
        not isinstance(record, dict)
        or record.get("schema") != 1
        or not record.keys() >= DIAGNOSTICS
    ):
        return None
    return record


def read_epochs(folder: Path) -> dict[str, dict[int, float]]:
    """Metric -> epoch -> value, from a run's `evaluations.csv`; {} where there is none."""
    try:
        rows = read_evaluations(folder / "evaluations.csv")
        return {
            metric: {
                int(row["epoch"] or 0): value for row in rows if (value := row[metric]) is not None
            }
            for metric in rows[0]
            if metric != "epoch"
        }
    except (OSError, ValueError, IndexError, KeyError):
        return {}
