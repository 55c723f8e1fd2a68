"""What a finished run prints."""

from pathlib import Path
from typing import Any

ROWS = (
    ("image", "image_auroc", "image_ap", "image_f1max"),
    ("pixel", "pixel_auroc", "pixel_ap", "pixel_f1max"),
)


def show_result(result: Any) -> None:
    """Print a run's metrics as a table, why some are missing, and where everything lies."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    limits = [name for name in result.metrics if name.startswith("test/aupro_")]
    for heading in ("", "AUROC", "AP", "F1max", *(f"AUPRO@0.{n[-2:].rstrip('0')}" for n in limits)):
        table.add_column(heading, justify="right")
    for level, *names in ROWS:
        values = [_number(result.metrics.get(f"test/{name}")) for name in names]
        extra = [_number(result.metrics[n]) if level == "pixel" else "" for n in limits]
        table.add_row(level, *values, *extra)
    console.print(table)
    for reason in dict.fromkeys(result.undefined.values()):
        names = [name.removeprefix("test/") for name, r in result.undefined.items() if r == reason]
        console.print(f"undefined: {', '.join(names)}: {reason}")
    console.print(f"\nrun folder  {_relative(result.folder)}")
    for figure in result.figures:
        console.print(f"figure      {_relative(figure)}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _relative(path: Path) -> str:
    """A path as the user can type it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
