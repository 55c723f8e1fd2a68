"""What a study prints: before it starts, its jobs, and what came out."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from cfa_lab.config import Config
from cfa_lab.files import typed
from cfa_lab.progress import duration
from cfa_lab.report.settings import goes_with, is_of_the_data
from cfa_lab.study.plan import PlannedJob, seconds_left

if TYPE_CHECKING:
    from cfa_lab.study.reuse import JobOutcome

STATES = ("done", "unfinished", "failed", "new", "unknown")


def headline(
    configs: Sequence[Config], planned: Sequence[PlannedJob], *, parallel: int | None
) -> str:
    """How many jobs there are, in which state, and how long the rest may take."""
    counts = {state: sum(job.status == state for job in planned) for state in STATES}
    parts = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    text = f"{len(planned)} jobs: {parts}"
    left = seconds_left(configs, planned)
    if counts["done"] == len(planned) or left is None:
        return text
    if parallel is None:
        return f"{text}; about {duration(left)} of computing left"
    return f"{text}; about {duration(left / parallel)} left"


def list_jobs(settings: Sequence[dict[str, str]], planned: Sequence[PlannedJob]) -> None:
    """Print a line for each job: number, state, what it alone has, and what is known about it."""
    for number, (job, state) in enumerate(zip(names_of(settings), planned, strict=True)):
        note = ""
        if state.found is not None:
            auroc = state.found[1]["metrics"].get("test/image_auroc")
            note = f"  image AUROC {_number(auroc)}"
        elif state.error:
            note = f"  {state.error}"
        elif state.missing_ratio < 1:
            note = f"  {1 - state.missing_ratio:.0%} of the epochs done"
        print(f"{number:>5}  {state.status:10}  {job}{note}")


def show_summary(
    settings: Sequence[dict[str, str]],
    configs: Sequence[Config],
    outcomes: Sequence["JobOutcome"],
    folder: Path,
) -> None:
    """Print image AUROC by category and setting, means over seeds, and name every failed job."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    labels = names_of(settings, without=("category", "seed", *_of_the_data(settings, configs)))
    cells: dict[tuple[str, str], list[float]] = {}
    for label, config, outcome in zip(labels, configs, outcomes, strict=True):
        value = outcome.metrics.get("test/image_auroc")
        if outcome.status != "failed" and value is not None:
            cells.setdefault((config.category, label), []).append(value)
    if cells:
        console.print("image AUROC, means over seeds (number of runs)")
        console.print(_table(cells))
    counts = {
        status: sum(outcome.status == status for outcome in outcomes)
        for status in ("computed", "resumed", "reused", "failed")
    }
    parts = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    console.print(f"\n{len(outcomes)} jobs: {parts}\nfolder  {folder}")
    if cells:
        console.print(f"report  python -m cfa_lab report {shlex.quote(typed(folder))}")
    for number, (job, outcome) in enumerate(zip(names_of(settings), outcomes, strict=True)):
        if outcome.status == "failed":
            print(f"failed: job {number}, {job}: {outcome.error}", file=sys.stderr)


def names_of(settings: Sequence[dict[str, str]], *, without: Sequence[str] = ()) -> list[str]:
    """What tells each job from the others; keys that its case leaves alone are not named."""
    keys = dict.fromkeys(key for job in settings for key in job if key not in without)
    varied = [key for key in keys if len({job.get(key) for job in settings}) > 1]
    nothing = "as it stands" if varied else "all"
    return [
        " ".join(f"{key}={job[key]}" for key in varied if key in job) or nothing for job in settings
    ]


def _of_the_data(settings: Sequence[dict[str, str]], configs: Sequence[Config]) -> list[str]:
    """Keys of data and images that go with the category."""
    keys = {key for job in settings for key in job if is_of_the_data(key)}
    categories = [config.category for config in configs]
    return [key for key in keys if goes_with(categories, [job.get(key) for job in settings])]


def _table(cells: dict[tuple[str, str], list[float]]):
    """Categories down and settings across, or the other way where there are more settings."""
    from rich.table import Table

    down = list(dict.fromkeys(category for category, _ in cells))
    across = list(dict.fromkeys(label for _, label in cells))
    mean = {
        label: [fmean(cells[c, label]) for c in down if (c, label) in cells] for label in across
    }
    turned = len(across) > len(down)
    rows, columns = (across, down) if turned else (down, across)
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    if turned:
        table.add_column("mean", justify="right")
    for row in rows:
        values = [cells.get((c, row) if turned else (row, c)) for c in columns]
        texts = [f"{fmean(v):.4f} ({len(v)})" if v else "-" for v in values]
        table.add_row(row, *texts, *([_number(fmean(mean[row]))] if turned else []))
    if not turned and len(down) > 1:
        table.add_row("mean", *(_number(fmean(mean[column])) for column in columns))
    return table


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
