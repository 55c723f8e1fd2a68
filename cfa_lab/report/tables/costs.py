"""What settings cost, and what became of their radius: the other half of a choice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from safetensors import SafetensorError, safe_open

from cfa_lab.method import repulsion
from cfa_lab.metrics.names import metric_name
from cfa_lab.records import names
from cfa_lab.records.history import count_steps, read_columns
from cfa_lab.report.collect import Cells, RecordedRun, Study
from cfa_lab.report.statistics import summarise_macro
from cfa_lab.report.tables.markdown import main_metrics, points, table
from cfa_lab.texts import refuse_no_file

ROOT_ALPHA = "√α"  # noqa: RUF001 the paper's symbol


@dataclass(frozen=True, kw_only=True)
class Training:
    """The radius over a run's training."""

    num_steps: int
    last_radius: float | None
    sqrt_alpha: float | None
    """What r has to pass before repulsion can act; None where nothing repels or alpha is added."""
    crossed: int | None
    """The first step that began with r above it."""
    most_repelled: float
    """The largest fraction of hard negatives that a step repelled."""


def bank_shape(run: RecordedRun) -> tuple[int, int] | None:
    """Entries and dimension of a run's memory bank; None where nothing says so any more."""
    protocol = run.record.get("protocol", {})
    if isinstance(entries := protocol.get("bank_entries"), int):
        return entries, protocol["bank_dimension"]
    try:
        refuse_no_file(run.files / names.MODEL)
        with safe_open(run.files / names.MODEL, framework="numpy") as model:
            entries, dimension = model.get_slice("bank").get_shape()
    except (OSError, ValueError, SafetensorError):
        return None
    return entries, dimension


def read_training(run: RecordedRun) -> Training | None:
    """The radius over a run's steps; None where its history is gone or damaged."""
    columns = read_columns(run.files, ["train/radius", "train/active_repulsion"])
    if columns is None:
        return None
    radii, repelled = list(map(abs, columns[0])), columns[1]
    limit = sqrt_alpha(run)
    above = (step for step, radius in enumerate(radii) if limit is not None and radius > limit)
    return Training(
        num_steps=len(radii),
        last_radius=radii[-1] if radii else None,
        sqrt_alpha=limit,
        crossed=next(above, None),
        most_repelled=max(repelled, default=0.0),
    )


def sqrt_alpha(run: RecordedRun) -> float | None:
    """What the radius must pass before repulsion can act; None where nothing is too small."""
    values: dict[str, Any] = {
        name: run.config.get(f"loss.{name}") for name in ("J", "alpha", "alpha_sign")
    }
    return None if None in values.values() else repulsion.sqrt_alpha(**values)


def leak(study: Study, metric: str) -> Cells:
    """Last epoch minus the epoch that was best on the test set, where epochs were evaluated."""
    name = metric.replace("test/", "oracle/best_")
    cells: Cells = {setting: {} for setting in study.settings}
    for run in study.runs:
        last, best = run.record["metrics"].get(metric), run.record.get("oracle", {}).get(name)
        if last is not None and best is not None:
            cells[run.setting].setdefault(run.category, {})[run.seed] = last - best
    return cells


def leak_table(study: Study) -> str:
    """A Markdown table of what choosing the epoch by test labels would gain; empty without it."""
    metrics = [
        metric for metric in main_metrics(study.metrics) if any(leak(study, metric).values())
    ]
    if not metrics:
        return ""
    found = {metric: leak(study, metric) for metric in metrics}
    rows = []
    for setting in study.settings:
        means = [summarise_macro(found[metric][setting]) for metric in metrics]
        rows.append([setting, *(points(mean) if mean else "" for mean in means)])
    return (
        "Last epoch minus the epoch that was best on the test set (an oracle: each metric has its "
        "own), percentage points, mean over categories with 95 % interval\n\n"
        f"{table(['setting', *map(metric_name, metrics)], rows)}\n"
    )


def beside_accuracy(study: Study) -> str:
    """A Markdown table of each setting's memory bank and radius; the same for the same runs."""
    rows = []
    for setting in study.settings:
        runs = [run for run in study.runs if run.setting == setting]
        shapes = sorted({shape for run in runs if (shape := bank_shape(run)) is not None})
        trained = [training for run in runs if (training := read_training(run)) is not None]
        entries = _from_to([shape[0] for shape in shapes])
        dimension = _from_to([shape[1] for shape in shapes])
        megabytes = [4 * shape[0] * shape[1] / 1e6 for shape in shapes]
        last = [t.last_radius for t in trained if t.last_radius is not None]
        rows.append(
            [
                setting,
                f"{entries} x {dimension}" if shapes else "",
                _from_to(megabytes, ".3g"),
                _from_to([t.num_steps for t in trained]),
                _from_to(last, ".3g"),
                _crossing(trained),
                _from_to([100 * t.most_repelled for t in trained if t.num_steps], ".3g"),
            ]
        )
    names = [
        *("setting", "bank: entries x dimension", "bank, MB", "steps", "last r"),
        f"r > {ROOT_ALPHA} at step",
        "repelled, %",
    ]
    return (
        "Memory bank and radius; the step is the median over the runs in which r passed "
        f"{ROOT_ALPHA}, before which repulsion is zero; repelled: the hard negatives on which it "
        f"acted in a run's most active step\n\n{table(names, rows)}\n"
    )


def times(study: Study) -> str:
    """A Markdown table of each setting's seconds: medians over runs, and their extremes."""
    rows = []
    for setting in study.settings:
        runs = [run for run in study.runs if run.setting == setting]
        training = _timing(runs, "training", lambda run: 1.0)
        steps = _timing(runs, "training", lambda run: count_steps(run.files), times=1000)
        scoring = _timing(runs, "evaluation", _num_scored, times=1000)
        rows.append([setting, str(len(runs)), training, steps, scoring])
    machines = sorted({_machine(run) for run in study.runs})
    names = ("setting", "runs", "training, s", "a step, ms", "evaluation, ms per image")
    return (
        "Medians over runs, smallest and largest in brackets. A resumed run counts the part after "
        "it was resumed; evaluation means scores and metrics of the images that were scored, with "
        "their features from the store where it has them. Runs side by side slow each other "
        f"down.\n\n{table(names, rows)}\n\nOn: {'; '.join(machines)}.\n"
    )


def _crossing(trained: Sequence[Training]) -> str:
    """The median step over the runs that crossed, and how many did."""
    limited = [training for training in trained if training.sqrt_alpha and training.num_steps]
    crossed = [training.crossed for training in limited if training.crossed is not None]
    if not limited:
        return ""
    if not crossed:
        return f"never ({len(limited)} runs)"
    return f"{median(crossed):g} ({len(crossed)} of {len(limited)} runs)"


def _timing(
    runs: Sequence[RecordedRun],
    part: str,
    per: Callable[[RecordedRun], float],
    *,
    times: float = 1.0,
) -> str:
    values = [
        times * seconds / per(run)
        for run in runs
        if (seconds := run.record.get("timing", {}).get(f"time/{part}_seconds")) is not None
        and per(run)
    ]
    if not values:
        return ""
    middle, low, high = map(_rounded, (median(values), min(values), max(values)))
    return f"{middle} ({low} to {high})"


def _rounded(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _num_scored(run: RecordedRun) -> int:
    protocol = run.record.get("protocol", {})
    kinds = ("num_test_normal", "num_test_defect", "num_validation")
    return sum(protocol.get(kind, 0) for kind in kinds)


def _machine(run: RecordedRun) -> str:
    facts = run.record.get("environment", {})
    told = [facts.get("processor"), f"device {facts.get('device')}"]
    told += [f"{facts['num_threads']} threads"] if facts.get("num_threads") else []
    return ", ".join(part for part in told if part)


def _from_to(numbers: Sequence[float], form: str = "d") -> str:
    """One number, or the smallest and the largest as they are shown."""
    texts = dict.fromkeys(f"{number:{form}}" for number in sorted(numbers))
    return " to ".join(list(texts)[:: max(1, len(texts) - 1)])
