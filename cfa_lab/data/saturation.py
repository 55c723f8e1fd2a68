"""`defects_config.json` of MVTec LOCO AD: how much of a defect is enough to call it found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfa_lab.errors import UserError
from cfa_lab.texts import read_json

FILE = "defects_config.json"


@dataclass(frozen=True)
class Saturation:
    """Enough of a defect: `threshold` pixels, or that share of its area if `relative`."""

    threshold: float
    relative: bool


def read_saturation(folder: Path) -> dict[int, Saturation] | None:
    """By the value that a kind of defect has in masks; None where the folder has no such file.

    The file lists objects with `pixel_value` (1 to 255), `saturation_threshold` and
    `relative_saturation`. Raises `UserError` for one that is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        entries = read_json(path)
        return dict(_entry(entry) for entry in entries)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"cannot read {path}: {reason}; take the file from the data set's archive again"
        ) from error


def _entry(entry: Any) -> tuple[int, Saturation]:
    value, threshold = entry["pixel_value"], entry["saturation_threshold"]
    relative = entry["relative_saturation"]
    if type(value) is not int or not 1 <= value <= 255:
        raise ValueError(f"pixel_value is {value!r}, not a whole number from 1 to 255")
    if type(relative) is not bool:
        raise ValueError(f"relative_saturation is {relative!r}, neither true nor false")
    if type(threshold) not in (int, float) or not 0 < threshold <= (1 if relative else 1e12):
        allowed = "a share above 0 to 1" if relative else "a number of pixels above 0"
        raise ValueError(f"saturation_threshold is {threshold!r}, not {allowed}")
    return value, Saturation(float(threshold), relative)
