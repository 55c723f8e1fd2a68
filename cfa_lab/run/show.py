"""What a finished run prints."""

import shlex
from typing import Any

from cfa_lab.evaluation.wrong import PEAK, found_by_kind, told_of_kinds
from cfa_lab.files import typed
from cfa_lab.metrics.names import of_and_heading


def show_result(result: Any) -> None:
    """Print a run's metrics, `oracle/` apart, why some are missing, and where everything lies."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    found = result.evaluation
    console.print(_table(found.metrics, "test/", found.intervals))
    if (share := found.metrics.get(PEAK)) is not None:
        told = "share of defect images whose highest score lies on the defect"
        console.print(f"peak in defect {share:.4f}: {told}")
    if any(name.startswith("threshold/") for name in found.metrics):
        console.print(f"\nat the thresholds set on {result.thresholds_from}")
        console.print(_table(found.metrics, "threshold/", {}))
        if result.threshold_doubt:
            console.print(f"  but {result.threshold_doubt}")
        kinds = found_by_kind(found.images, found.looks, found.thresholds.image)
        for line in told_of_kinds(kinds):
            console.print(f"  {line}")
    for reason in dict.fromkeys(found.undefined.values()):
        names = [name for name, other in found.undefined.items() if other == reason]
        console.print(f"undefined: {', '.join(names)}: {reason}")
    for reason in dict.fromkeys(found.no_intervals.values()):
        names = [name for name, other in found.no_intervals.items() if other == reason]
        console.print(f"no interval: {', '.join(names)}: {reason}")
    console.print("\noracle: chosen by looking at the test labels, not results", style="dim")
    if any(name.endswith("_gap") for name in found.oracle):
        gap = "gap: threshold minus the best one; above 0 it misses defects, below it raises alarms"
        console.print(f"  {gap}", style="dim")
    for name, value in found.oracle.items():
        number = f"{value:.0f}" if value is not None and "epoch" in name else _number(value)
        console.print(f"  {name.removeprefix('oracle/')} {number}", style="dim")
    console.print(f"\nrun folder  {typed(result.folder)}")
    for figure in result.figures:
        console.print(f"figure      {typed(figure)}")
    run = shlex.quote(typed(result.folder))
    console.print(f"use it      python -m cfa_lab predict {run} IMAGES...")


def _table(metrics: dict[str, float | None], prefix: str, intervals: dict[str, Any]) -> Any:
    """A column per metric, a row for images and one for pixels, intervals below the values."""
    from rich.table import Table

    kinds: dict[str, dict[str, str]] = {"image": {}, "pixel": {}}
    for name, value in metrics.items():
        if not name.startswith(prefix) or name == PEAK:
            continue
        kind, heading = of_and_heading(name)
        kinds[kind][heading] = _number(value) + _interval(intervals.get(name))
    table = Table(box=None, pad_edge=False)
    columns = list(dict.fromkeys(heading for row in kinds.values() for heading in row))
    for heading in ("", *columns):
        table.add_column(heading, justify="right")
    for kind, row in kinds.items():
        table.add_row(kind, *(row.get(column, "") for column in columns))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(bounds: list[float] | None) -> str:
    return f"\n{bounds[0]:.3f}-{bounds[1]:.3f}" if bounds else ""
