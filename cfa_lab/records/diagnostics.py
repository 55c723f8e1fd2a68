"""A run's diagnostics: what became of its hyperspheres, as a file and as single numbers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cfa_lab.files import write_atomically
from cfa_lab.records import names
from cfa_lab.texts import read_json

SCHEMA = 1
KINDS = ("normal", "defect")
"""Of patches."""
INSIDE = ("none", "one", "several")
"""How many hyperspheres a patch lies in."""
PARTS = {
    *("num_images", "radius", "border_distance", "sqrt_alpha", "inside", "median_distance"),
    *("bank", "histogram"),
}
"""What readers rely on."""


def write_diagnostics(folder: Path, diagnosis: Mapping[str, Any]) -> None:
    """Write a run's diagnostics, whole or not at all."""
    record = {"schema": SCHEMA, **diagnosis}
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    write_atomically(folder / names.DIAGNOSTICS, text)


def read_diagnostics(folder: Path) -> dict[str, Any] | None:
    """A run's diagnostics; None where there are none, or none of this version."""
    try:
        record = read_json(folder / names.DIAGNOSTICS)
    except (OSError, ValueError):
        return None
    known = isinstance(record, dict) and record.get("schema") == SCHEMA
    return record if known and record.keys() >= PARTS else None


def scalars(diagnosis: Mapping[str, Any]) -> dict[str, float | None]:
    """The single numbers, as trackers name them: `diagnostics/...`."""
    sqrt_alpha, bank = diagnosis["sqrt_alpha"], diagnosis["bank"]
    found: dict[str, float | None] = {
        "diagnostics/radius": diagnosis["radius"],
        "diagnostics/radius_over_sqrt_alpha": abs(diagnosis["radius"]) / sqrt_alpha
        if sqrt_alpha
        else None,
        "diagnostics/bank_used_ratio": bank["used"] / bank["entries"],
        "diagnostics/bank_effective": bank["effective"],
    }
    for kind in KINDS:
        shares = diagnosis["inside"][kind] or dict.fromkeys(INSIDE)
        found |= {f"diagnostics/{kind}_inside_{name}": shares[name] for name in INSIDE}
        found[f"diagnostics/{kind}_median_distance"] = diagnosis["median_distance"][kind]
    return found
