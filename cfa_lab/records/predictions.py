"""A run's predictions: one row per test image."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cfa_lab.errors import UserError
from cfa_lab.files import write_csv
from cfa_lab.records import names

PREDICTION_COLUMNS = (
    *("path", "label", "defect", "score", "decision"),
    *("normal_percentile", "defect_area"),
)


def write_predictions(folder: Path, predictions: Sequence[Mapping[str, Any]]) -> None:
    """Write a run's predictions, sorted by path, complete or not at all.

    Rows have the keys `path`, `label`, `defect`, `score` and `decision`, and may have
    `normal_percentile`, percent of the held-out normal images that score lower, and `defect_area`,
    defect pixels of the mask; None leaves a cell empty. Scores keep every bit of their float64.
    """
    rows = [
        {
            "path": row["path"],
            "label": int(row["label"]),
            "defect": row["defect"],
            "score": float(row["score"]),
            "decision": None if row["decision"] is None else int(row["decision"]),
            "normal_percentile": row.get("normal_percentile"),
            "defect_area": row.get("defect_area"),
        }
        for row in sorted(predictions, key=lambda row: row["path"])
    ]
    write_csv(folder / names.PREDICTIONS, PREDICTION_COLUMNS, rows)


def read_predictions(folder: Path) -> list[dict[str, Any]]:
    """A run's predictions as they were written; none where there is no table.

    Raises UserError for one that is damaged.
    """
    path = folder / names.PREDICTIONS
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                {
                    "path": row["path"],
                    "label": int(row["label"]),
                    "defect": row["defect"],
                    "score": float(row["score"]),
                    "decision": int(row["decision"]) if row["decision"] else None,
                    "normal_percentile": _number(row.get("normal_percentile"), float),
                    "defect_area": _number(row.get("defect_area"), int),
                }
                for row in csv.DictReader(file)
            ]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(f"{path} is no table of a run's predictions ({error!r})") from error


def _number(cell: str | None, kind: Callable[[str], Any]) -> Any:
    """What a cell holds; None where it is empty, or in a table of before it had the column."""
    return kind(cell) if cell else None
