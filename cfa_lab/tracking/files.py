"""The tracker that is always on: the plain text files of a run folder."""

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from cfa_lab.records import names
from cfa_lab.records.history import (
    HISTORY_COLUMNS,
    Row,
    read_evaluations,
    read_history,
    write_evaluations,
    write_history,
)
from cfa_lab.tracking.base import Tracker

log = logging.getLogger(__name__)


class HistoryFile(Tracker):
    """Writes the history step by step, and a second file if there are evaluations on the way.

    Entering starts both files anew or, with `first_step` above 0 (a resumed run), cuts them to what
    lies before that step. Every row reaches the operating system at once, so that a killed process
    loses none, and numbers are written so that `read_history` returns the same float64.
    """

    def __init__(
        self, folder: Path, *, first_step: int = 0, columns: Sequence[str] = HISTORY_COLUMNS
    ) -> None:
        self.folder = folder
        self.columns = columns
        self.first_step = first_step
        self._evaluations: dict[int, Mapping[str, object]] = {}

    def __enter__(self) -> "HistoryFile":
        self.folder.mkdir(parents=True, exist_ok=True)
        history = self._history_before_first_step()
        last_epoch = history[-1]["epoch"] if history else -1
        path = write_history(self.folder, history, self.columns)
        self._file = path.open("a", encoding="utf-8", newline="", buffering=1)
        self._writer = csv.writer(self._file, lineterminator="\n")
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
        epoch, step, *terms = (row[column] for column in self.columns)
        self._writer.writerow([int(epoch), int(step), *map(float, terms)])

    def log_evaluation(self, epoch: int, metrics: Mapping[str, float | None]) -> None:
        """Add a line to the evaluations, in place of an earlier one of the same epoch."""
        numbers = {key: None if value is None else float(value) for key, value in metrics.items()}
        self._evaluations[epoch] = {"epoch": epoch, **numbers}
        self._write_evaluations()

    def _history_before_first_step(self) -> list[Row]:
        if self.first_step == 0:
            return []
        kept = [row for row in read_history(self.folder) if row["step"] < self.first_step]
        if len(kept) < self.first_step:
            log.warning(
                "%s holds %d of the %d steps before the resumed one; the others stay missing",
                *(self.folder / names.HISTORY, len(kept), self.first_step),
            )
        return kept

    def _keep_evaluations(self, last_epoch: float) -> None:
        rows = read_evaluations(self.folder) if last_epoch >= 0 else []
        epochs = {int(row["epoch"] or 0): row for row in rows}
        self._evaluations = {epoch: row for epoch, row in epochs.items() if epoch <= last_epoch}
        if self._evaluations:
            self._write_evaluations()
        else:
            (self.folder / names.EVALUATIONS).unlink(missing_ok=True)

    def _write_evaluations(self) -> None:
        write_evaluations(self.folder, [row for _, row in sorted(self._evaluations.items())])
