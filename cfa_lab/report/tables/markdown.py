"""A study's numbers in Markdown: `tables.md`, for people and for repositories."""

import math
import re
from collections.abc import Container, Mapping, Sequence
from typing import Any

from cfa_lab.metrics.names import metric_name
from cfa_lab.report.collect import Cells, Study
from cfa_lab.report.comparisons import Table
from cfa_lab.report.settings import has_part, show
from cfa_lab.report.statistics import LEAST_CASES, MOST_COMPARED, Difference, Summary, compare_pairs

MOST_COLUMNS = 6
"""Settings that stand side by side in Markdown and LaTeX; more stand below each other."""

MAIN = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30")
"""The metrics that differences and plots show; the tables have all."""

CONTEXT = (
    *("dataset.name", "preset", "backbone.name", "trainer.epochs", "trainer.batch_size"),
    *("dataset.limit_train", "image.resize"),
)
"""Keys that one wants to know even where all runs share the value."""


_TAG = re.compile(r"<(?=[A-Za-z/!?])")
"""What begins HTML, which Markdown passes on; names come from wherever a run folder came from."""


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers."""
    lines = [_line(names), "|---" + "|---:" * (len(names) - 1) + "|"]
    return "\n".join([*lines, *map(_line, rows)])


def percent(value: float) -> str:
    """A share in percent with two decimals."""
    return "" if math.isnan(value) else f"{100 * value:.2f}"


def main_metrics(metrics: Container[str]) -> list[str]:
    """Those of the main metrics that are among these, in the order in which they are shown."""
    return [name for short in MAIN if (name := f"test/{short}") in metrics]


def head(study: Study) -> str:
    """What the numbers are of: how many runs of what, and what they share."""
    configs = [run.config for run in study.runs]
    seeds = sorted({run.seed for run in study.runs})
    counts = [
        f"{len(study.runs)} runs",
        f"categories: {', '.join(study.categories)}",
        f"seeds: {', '.join(map(str, seeds))}",
    ]
    shared = [
        f"`{key}={show(configs[0][key])}`"
        for key in CONTEXT
        if len(values := {show(c.get(key)) for c in configs}) == 1
        and values != {"null"}
        and all(has_part(c, key) for c in configs)
    ]
    lines = [f"{'; '.join(counts)}."]
    lines += [f"In all runs: {' '.join(shared)}."] if shared else []
    if study.usual:
        named = " ".join(f"{key}={value}" for key, value in study.usual.items())
        lines.append(f"Unless a setting's name says otherwise: `{named}`.")
    for key in study.with_category:
        values = {run.category: show(run.config.get(key)) for run in study.runs}
        told = ", ".join(f"{category} {values[category]}" for category in study.categories)
        lines.append(f"`{key}` goes with the category: {told}.")
    if missing := study.missing():
        total = len(missing) + len(study.runs)
        lines.append(
            f"Of the full grid of settings, categories and seeds, {len(missing)} of {total} runs "
            "are missing."
        )
    return "\n".join(f"{line}  " for line in lines[:-1]) + f"\n{lines[-1]}\n"


def metric_table(metric: str, found: Table, places: Sequence[str], best: str | None) -> str:
    """Categories and settings of one metric."""

    def mark(text: str) -> str:
        return f"**{text}**" if text == best else text

    names, *rows = grid(found, places, plus_minus="±", dash="-")
    body = table([mark(name) for name in names], [[mark(cell) for cell in row] for row in rows])
    return f"{caption(metric)}\n\n{body}\n\n{best_note(best)}\n"


def differences_table(differences: Mapping[str, Sequence[Difference]]) -> str:
    """Pairs of settings below each other, the main metrics side by side; empty without pairs."""
    metrics = main_metrics(differences)
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for metric in metrics:
        for d in differences[metric]:
            text = points(d)
            is_clear = d.verdict != "inconclusive"
            cells.setdefault((d.a, d.b), {})[metric] = f"**{text}**" if is_clear else text
    if not cells:
        return ""
    cases = sorted({d.num_cases for metric in metrics for d in differences[metric]})
    against = {b for _, b in cells}
    same = f"minus {against.pop()}" if len(against) == 1 else ""
    names = [same or "A minus B", *map(metric_name, metrics)]
    rows = [
        [a if same else f"{a} minus {b}", *(row.get(metric, "") for metric in metrics)]
        for (a, b), row in cells.items()
    ]
    together = max(d.num_comparisons for metric in metrics for d in differences[metric])
    are = "comparison is" if together == 1 else "comparisons are"
    here = " to ".join(map(str, cases[:: max(1, len(cases) - 1)]))
    return (
        f"Differences, percentage points. Of each metric {together} {are} decided together "
        "(Student's t over cases, Holm): bold where the interval, which is as wide as that asks, "
        f"leaves 0 out and there are {LEAST_CASES} or more categories (pairs of seeds, if there "
        f"is one category); here there are {here}. Tests are in differences.csv.\n\n"
        f"{table(names, rows)}\n"
    )


def category_differences(study: Study, baseline: str) -> str:
    """Each category by itself: settings minus the baseline over pairs of seeds; empty for one."""
    others = [setting for setting in study.settings if setting != baseline][:MOST_COMPARED]
    if len(study.categories) < 2 or not others:
        return ""
    parts = [
        f"Settings minus {baseline} in each category: percentage points over pairs of seeds. Of "
        f"each metric all {len(others) * len(study.categories)} are decided together (Student's t "
        "over seeds, Holm): bold where the interval, which is as wide as that asks, leaves 0 out "
        f"and there are {LEAST_CASES} or more pairs. What holds in one category is said of that "
        "category alone.\n"
    ]
    for metric in main_metrics(study.metrics):
        found = _by_category(study.cells(metric), others, baseline, study.categories)
        rows = [[other, *(found.get((other, c), "") for c in study.categories)] for other in others]
        parts.append(f"{metric_name(metric)}\n\n{table(['setting', *study.categories], rows)}\n")
    return "\n".join(parts)


def _by_category(
    cells: Cells, others: Sequence[str], baseline: str, places: Sequence[str]
) -> dict[tuple[str, str], str]:
    """(setting, category) -> its difference to the baseline there, all decided together."""
    split: dict[str, dict[str, Any]] = {
        f"{setting}\n{place}": {place: cells[setting][place]}
        for setting in (*others, baseline)
        for place in places
        if place in cells[setting]
    }
    pairs = [(f"{other}\n{place}", f"{baseline}\n{place}") for other in others for place in places]
    found = compare_pairs(split, [pair for pair in pairs if set(pair) <= split.keys()])
    return {
        (setting, place): points(d) if d.verdict == "inconclusive" else f"**{points(d)}**"
        for d in found
        for setting, _, place in [d.a.partition("\n")]
    }


def grid(found: Table, places: Sequence[str], **signs: str) -> list[list[str]]:
    """Head and rows: a row a category, their mean last; a row a setting where these are many."""
    rows = [["category", *found]] + [
        [place, *(_cell(row.get(place), **signs) for row in found.values())] for place in places
    ]
    if len(found) > MOST_COLUMNS:
        rows = [list(row) for row in zip(*rows, strict=True)]
        rows[0][0] = "setting"
    return rows


def caption(metric: str) -> str:
    """What stands above a metric's table."""
    return (
        f"{metric.removeprefix('test/')}, percent: mean, sd over seeds, 95 % interval (within a "
        "category over seeds; for the mean, over categories)"
    )


def best_note(best: str | None) -> str:
    """Which setting is marked, and why."""
    if best is None:
        return "No setting is marked: no advantage over every other one is supported."
    return f"Marked: {best}, whose advantage over every other setting the intervals support."


def points(found: Summary | Difference) -> str:
    """A difference in percentage points with its interval, where it has one."""
    text = f"{100 * found.mean:+.2f}"
    if math.isnan(found.low):
        return text
    return f"{text} [{100 * found.low:+.2f}, {100 * found.high:+.2f}]"


def _cell(summary: Summary | None, *, plus_minus: str, dash: str) -> str:
    if summary is None:
        return ""
    text = percent(summary.mean)
    if not math.isnan(summary.sd):
        text += f" {plus_minus} {percent(summary.sd)}"
    if not math.isnan(summary.low):
        text += f" [{percent(summary.low)}{dash}{percent(summary.high)}]"
    return text


def without_html(text: str) -> str:
    """The text with whatever would begin HTML shown instead."""
    return _TAG.sub("&lt;", text)


def _line(cells: Sequence[str]) -> str:
    escaped = (without_html(cell.replace("|", "\\|")) for cell in cells)
    return f"| {' | '.join(escaped)} |"
