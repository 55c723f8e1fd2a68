"""A run's wrong decisions at its threshold, one row an image: `misses.csv`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cfa_lab.files import write_csv
from cfa_lab.records import names

MISSES_COLUMNS = (
    *("path", "what", "defect", "score", "threshold"),
    *("peak_row", "peak_column", "peak_in_defect", "defects", "defects_touched"),
)


def write_misses(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table, complete or not at all; it is there and empty where nothing was wrong."""
    kept = ({name: row[name] for name in MISSES_COLUMNS} for row in rows)
    write_csv(folder / names.MISSES, MISSES_COLUMNS, kept)
