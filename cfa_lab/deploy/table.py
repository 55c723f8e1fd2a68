"""The table of predictions for new images: a row each, written as soon as it is known."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from cfa_lab.errors import UserError
from cfa_lab.records import names

COLUMNS = (
    "path",
    "score",
    "decision",
    "area",
    "top",
    "left",
    "height",
    "width",
    "milliseconds",
    "modified",
    "content",
    "error",
)
"""`area` counts the pixels at or above the pixel threshold; the box is that of their largest
region; `milliseconds` is the scoring alone; `modified` is the file's time in nanoseconds; `content`
is a hash of the pixels that the network got."""

ENCODING, ERRORS = "utf-8", "surrogateescape"
"""File names may be any bytes."""

Key = tuple[str, int]
"""Path and time: one photograph, whatever else is called so later."""


class PredictionTable:
    """`predictions.csv` of a folder, to which rows are added; whole rows only, whatever happens."""

    def __init__(self, folder: Path, *, resume: bool):
        """Begin the table, or go on with one; raises UserError for one that should not be there.

        Going on drops the end of a row that a kill has torn.
        """
        self.path = folder / names.PREDICTIONS
        self.done: set[Key] = set()
        self.contents: dict[str, str] = {}
        self.num_errors = self.num_defects = 0
        if self.path.exists():
            if not resume:
                raise UserError(
                    f"{self.path} is there already; go on with it by --resume, or choose another "
                    "folder with --out"
                )
            self._go_on()
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a", encoding=ENCODING, errors=ERRORS, newline="")
        self._writer: csv.DictWriter[str] = csv.DictWriter(self._file, COLUMNS, lineterminator="\n")
        if not self.path.stat().st_size:
            self._writer.writeheader()
            self._file.flush()

    def __enter__(self) -> "PredictionTable":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Write one row; None leaves a cell empty."""
        self._writer.writerow(dict(row))
        self._file.flush()
        self._count(row)

    def _count(self, row: Mapping[str, Any]) -> None:
        self.done.add((row["path"], row["modified"]))
        self.contents[row["path"]] = row["content"]
        self.num_errors += bool(row["error"])
        self.num_defects += str(row["decision"]) == "1"

    def _go_on(self) -> None:
        """Take note of what is done, and cut off a torn row."""
        content = self.path.read_bytes()
        whole = _end_of_rows(content)
        text = content[:whole].decode(ENCODING, ERRORS)
        rows = list(csv.reader(io.StringIO(text, newline="")))
        if rows and tuple(rows[0]) != COLUMNS:
            raise UserError(
                f"{self.path} is no table of new images (its columns are {', '.join(rows[0])}); "
                "choose another folder with --out"
            )
        for row in rows[1:]:
            values = dict(zip(COLUMNS, row, strict=True))
            self._count(values | {"modified": int(values["modified"])})
        if whole < len(content):
            with self.path.open("r+b") as file:
                file.truncate(whole)


def _end_of_rows(content: bytes) -> int:
    """Where the last whole row ends: at a line feed outside quotes."""
    end, quoted = 0, False
    for i, byte in enumerate(content):
        if byte == ord('"'):
            quoted = not quoted
        elif byte == ord("\n") and not quoted:
            end = i + 1
    return end


def row_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """A row from some of its cells; the others stay empty."""
    return dict.fromkeys(COLUMNS) | dict(values)


def read_predictions(path: Path) -> list[dict[str, str]]:
    """All rows of a table, as texts."""
    with path.open(encoding=ENCODING, errors=ERRORS, newline="") as file:
        return list(csv.DictReader(file))
