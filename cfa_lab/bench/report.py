"""What every comparison prints and writes."""

import argparse
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cfa_lab.files import user_path
from cfa_lab.records.environment import processor

Columns = Mapping[str, Callable[[dict[str, Any]], str]]
"""Heading -> what stands below it for one contestant's result."""


def new_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for `bench <name>`, with the options that all comparisons share."""
    parser = argparse.ArgumentParser(prog=f"cfa_lab bench {name}", description=description)
    parser.add_argument("--json", type=user_path, help="file to write the measurements to")
    return parser


def show(title: str, report: dict[str, Any], columns: Columns, path: Path | None) -> None:
    """Print a line for each contestant of `report["results"]`; write all of it as JSON."""
    table = Table("", title=title)
    for heading in columns:
        table.add_column(heading, justify="right")
    for name, result in report["results"].items():
        table.add_row(name, *(cell(result) for cell in columns.values()))
    Console().print(table)
    if path:
        path.write_text(json.dumps(report | {"machine": machine()}, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """Where and when it was measured."""
    import torch

    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "has_amx": torch.cpu._is_amx_tile_supported(),  # pyright: ignore[reportPrivateUsage]
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "num_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def ratio_to(results: dict[str, dict[str, Any]], judge: str, key: str = "seconds") -> None:
    """Add to each result `ratio`: how many times faster than the judge."""
    for result in results.values():
        result["ratio"] = results[judge][key] / result[key]


def largest_difference(values: Sequence[float], judges: Sequence[float]) -> float:
    """The largest relative difference of two rows of positive numbers."""
    return max(abs(a - b) / b for a, b in zip(values, judges, strict=True))
