"""Reading the index files of data sets: comma-separated tables and lists in JSON."""

import csv
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cfa_lab.errors import UserError
from cfa_lab.texts import MOST_BYTES, MOST_BYTES_OF_JSON, parse_json, read_bytes

UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""What a spreadsheet's "Unicode text" begins with."""


def read_rows(path: Path, required: Collection[str]) -> list[dict[str, str]]:
    """The rows of a comma-separated file with a header, values without outer blanks.

    Semicolons and tabs may part the columns as well, and letter case of their names is no matter.

    Raises `UserError` for a file that is missing or no text, a missing or doubled column, and a row
    of another length than the header.
    """
    lines = _read_text(path).splitlines()
    reader = csv.reader(lines, delimiter=_delimiter(lines[0] if lines else "", required))
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in required if name not in header]
        if missing:
            raise UserError(
                f"index {path} has no column {', '.join(missing)}; its first line is "
                f"{','.join(header)[:200]!r}; name the columns there"
            )
        if len({*header}) < len(header):
            raise UserError(f"index {path} names a column twice: {','.join(header)[:200]}")
        rows = []
        for values in reader:
            if not any(map(str.strip, values)):
                continue
            if len(values) != len(header):
                raise UserError(
                    f"index {path}, line {reader.line_num}: {len(values)} values, but the header "
                    f"names {len(header)} columns; quote values that hold commas"
                )
            rows.append(dict(zip(header, map(str.strip, values), strict=True)))
    except csv.Error as error:
        raise UserError(f"index {path}, line {reader.line_num}: {error}; mend that line") from error
    return rows


def _delimiter(header: str, required: Collection[str]) -> str:
    """What parts the columns: a comma, or what spreadsheets write in its place."""
    for mark in ",;\t":
        if {*required} <= {name.strip(' "').lower() for name in header.split(mark)}:
            return mark
    return ","


def read_json(path: Path) -> Any:
    """The value that a JSON file holds; raises `UserError` where it is missing or damaged."""
    try:
        return parse_json(_read_text(path, most=MOST_BYTES_OF_JSON))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"index {path} is no JSON ({error}); get the file again") from error


def _read_text(path: Path, *, most: int = MOST_BYTES) -> str:
    try:
        content = read_bytes(path, most=most)
        return content.decode("utf-16" if content[:2] in UTF_16 else "utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read index {path}: {error.strerror}; put it there") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"index {path} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
