"""The tracker that is always on: the plain text files of a run folder."""

import csv
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from cfa_lab.errors import UserError
from cfa_lab.files import replacing
from cfa_lab.tracking.base import Tracker

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
PREDICTION_COLUMNS = ("path", "label", "defect", "score", "decision")

log = logging.getLogger(__name__)


class HistoryFile(Tracker):
    """Writes `history.csv` step by step, and `evaluations.csv` if there are evaluations on the way.

    Entering starts both files anew or, with `first_step` above 0 (a resumed run), cuts them to what
    lies before that step. Every row reaches the operating system at once, so that a killed process
    loses none, and numbers are written so that `read_history` returns the same float64.
    """

    def __init__(self, folder: Path, *, first_step: int = 0) -> None:
        self.folder = folder
        self.first_step = first_step
        self._evaluations: dict[int, Mapping[str, object]] = {}

    def __enter__(self) -> "HistoryFile":
        self.folder.mkdir(parents=True, exist_ok=True)
        history = self._history_before_first_step()
        last_epoch = history[-1]["epoch"] if history else -1
        path = self.folder / "history.csv"
        _write_csv(path, HISTORY_COLUMNS, history)
        self._file = path.open("a", encoding="utf-8", newline="", buffering=1)
        self._writer = csv.writer(self._file, lineterminator="\n")
        if (self.folder / "evaluations.csv").exists():
            self._keep_evaluations(last_epoch)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def log_step(self, row: Mapping[str, float]) -> None:
        epoch, step, *terms = (row[column] for column in HISTORY_COLUMNS)
        self._writer.writerow([int(epoch), int(step), *map(float, terms)])

    def log_evaluation(self, epoch: int, metrics: Mapping[str, float | None]) -> None:
        """Add a line to `evaluations.csv`, in place of an earlier one of the same epoch."""
        numbers = {key: None if value is None else float(value) for key, value in metrics.items()}
        self._evaluations[epoch] = {"epoch": epoch, **numbers}
        self._write_evaluations()

    def _history_before_first_step(self) -> list[dict[str, float]]:
        path = self.folder / "history.csv"
        if self.first_step == 0:
            return []
        rows = read_history(path) if path.exists() else []
        kept = [row for row in rows if row["step"] < self.first_step]
        if len(kept) < self.first_step:
            log.warning(
                "%s holds %d of the %d steps before the resumed one; the others stay missing",
                *(path, len(kept), self.first_step),
            )
        return kept

    def _keep_evaluations(self, last_epoch: float) -> None:
        path = self.folder / "evaluations.csv"
        rows = {int(row["epoch"] or 0): row for row in read_evaluations(path)}
        self._evaluations = {epoch: row for epoch, row in rows.items() if epoch <= last_epoch}
        if self._evaluations:
            self._write_evaluations()
        else:
            path.unlink()

    def _write_evaluations(self) -> None:
        rows = [self._evaluations[epoch] for epoch in sorted(self._evaluations)]
        columns = dict.fromkeys(key for row in rows for key in row)
        _write_csv(self.folder / "evaluations.csv", tuple(columns), rows)


def read_evaluations(path: Path) -> list[dict[str, float | None]]:
    """The rows of an `evaluations.csv`, `epoch` as int; None where a metric was undefined."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {
                key: int(value) if key == "epoch" else float(value) if value else None
                for key, value in row.items()
            }
            for row in csv.DictReader(file)
        ]


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a `history.csv`, with `epoch` and `step` as int.

    A last line without its end, as a crash may leave it, is dropped. Raises `UserError` where the
    columns are not those of this version or another line is damaged.
    """
    text = path.read_text(encoding="utf-8")
    header, *lines = text[: text.rfind("\n") + 1].splitlines() or [""]
    if header != ",".join(HISTORY_COLUMNS):
        raise UserError(
            f"{path} has the columns '{header}', but '{','.join(HISTORY_COLUMNS)}' are needed;"
            " start the run anew."
        )
    rows: list[dict[str, float]] = []
    for number, line in enumerate(lines, start=2):
        try:
            epoch, step, *terms = line.split(",")
            values = [int(epoch), int(step), *map(float, terms)]
            rows.append(dict(zip(HISTORY_COLUMNS, values, strict=True)))
        except ValueError:
            raise UserError(
                f"{path}, line {number} is damaged ('{line}'); start the run anew."
            ) from None
    return rows


def write_predictions(path: Path, predictions: Sequence[Mapping[str, Any]]) -> None:
    """Write `predictions.csv`, one row per test image sorted by path, complete or not at all.

    Rows have the keys `path`, `label`, `defect`, `score` and `decision`; a decision of None leaves
    its cell empty. Scores keep every bit of their float64.
    """
    rows = [
        {
            "path": row["path"],
            "label": int(row["label"]),
            "defect": row["defect"],
            "score": float(row["score"]),
            "decision": None if row["decision"] is None else int(row["decision"]),
        }
        for row in sorted(predictions, key=lambda row: row["path"])
    ]
    _write_csv(path, PREDICTION_COLUMNS, rows)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
