"""A study's numbers as files: CSV and Parquet for programs, Markdown and LaTeX for papers.

Nothing here depends on when or where the runs were made, `results.*` aside.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from cfa_lab.files import replacing, write_atomically
from cfa_lab.results.collect import Study
from cfa_lab.results.statistics import (
    Difference,
    Summary,
    summarise_cell,
    summarise_macro,
)

MACRO = "mean"
"""What the row of means over categories is called."""

MOST_COLUMNS = 6
"""Settings that stand side by side in Markdown and LaTeX; more stand below each other."""


def results_frame(study: Study) -> pd.DataFrame:
    """One row a run: where it lies, its setting, the varying keys, all its numbers."""
    rows = [
        {
            "folder": str(run.folder),
            "run_key": run.record.get("run_key"),
            "dataset": run.config.get("dataset.name"),
            "category": run.config["category"],
            "seed": run.seed,
            "setting": run.setting,
            **{key: run.config.get(key) for key in study.keys},
            **run.record["metrics"],
            **run.record.get("oracle", {}),
            **run.record.get("timing", {}),
        }
        for run in study.runs
    ]
    frame = pd.DataFrame(rows)
    for key in study.keys:  # Parquet wants one type a column; a key may hold numbers and text
        if frame[key].dtype == object:
            frame[key] = frame[key].map(lambda value: None if value is None else str(value))
    return frame


def write_results(study: Study, output: Path) -> list[Path]:
    """Write `results.csv` and, where pyarrow is installed, `results.parquet`."""
    frame = results_frame(study)
    files = [output / "results.csv"]
    with replacing(files[0]) as partial:
        frame.to_csv(partial, index=False)
    if has_pyarrow():
        files.append(output / "results.parquet")
        with replacing(files[1]) as partial:
            frame.to_parquet(partial, index=False, engine="pyarrow")
    return files


def has_pyarrow() -> bool:
    """Whether Parquet can be written."""
    from importlib.util import find_spec

    return find_spec("pyarrow") is not None


def summarise(study: Study, metric: str) -> dict[str, dict[str, Summary]]:
    """Setting -> category, or `mean`, -> summary, of a metric."""
    table: dict[str, dict[str, Summary]] = {}
    for setting, categories in study.cells(metric).items():
        row = {category: summarise_cell(seeds) for category, seeds in sorted(categories.items())}
        macro = summarise_macro(categories)
        table[setting] = row | ({MACRO: macro} if macro else {})
    return table


def write_tables(
    study: Study,
    output: Path,
    summaries: Mapping[str, Mapping[str, Mapping[str, Summary]]],
    differences: Mapping[str, Sequence[Difference]],
    best: Mapping[str, str | None],
) -> list[Path]:
    """Write `summary.csv`, `differences.csv`, `tables.md` and `tables.tex`."""
    paths = [
        output / name for name in ("summary.csv", "differences.csv", "tables.md", "tables.tex")
    ]
    for path, frame in zip(
        paths, (summary_frame(summaries), differences_frame(differences)), strict=False
    ):
        with replacing(path) as partial:
            frame.to_csv(partial, index=False)
    places = [*study.categories, MACRO]
    write_atomically(
        paths[2],
        "\n".join(
            _markdown(metric, summaries[metric], places, best[metric]) for metric in summaries
        ),
    )
    write_atomically(
        paths[3],
        "\n".join(_latex(metric, summaries[metric], places, best[metric]) for metric in summaries),
    )
    return paths


def summary_frame(
    summaries: Mapping[str, Mapping[str, Mapping[str, Summary]]],
) -> pd.DataFrame:
    """One row for each metric, setting and category, in shares of 1."""
    rows = [
        {"metric": metric, "setting": setting, "category": category, **vars(summary)}
        for metric, table in summaries.items()
        for setting, row in table.items()
        for category, summary in row.items()
    ]
    return pd.DataFrame(rows)


def differences_frame(differences: Mapping[str, Sequence[Difference]]) -> pd.DataFrame:
    """One row for each metric and pair of settings, in shares of 1."""
    names = list(Difference.__dataclass_fields__)
    rows = [
        {"metric": metric, **vars(difference), "verdict": difference.verdict}
        for metric, found in differences.items()
        for difference in found
    ]
    return pd.DataFrame(rows, columns=["metric", *names, "verdict"])


def percent(value: float) -> str:
    """A share in percent with two decimals."""
    return "" if math.isnan(value) else f"{100 * value:.2f}"


def _cell(summary: Summary | None, *, plus_minus: str, dash: str) -> str:
    if summary is None:
        return ""
    text = percent(summary.mean)
    if not math.isnan(summary.sd):
        text += f" {plus_minus} {percent(summary.sd)}"
    if not math.isnan(summary.low):
        text += f" [{percent(summary.low)}{dash}{percent(summary.high)}]"
    return text


def _grid(
    table: Mapping[str, Mapping[str, Summary]], places: Sequence[str], **signs: str
) -> list[list[str]]:
    """Head and rows: a row a category, their mean last; a row a setting where these are many."""
    grid = [["category", *table]] + [
        [place, *(_cell(row.get(place), **signs) for row in table.values())] for place in places
    ]
    if len(table) > MOST_COLUMNS:
        grid = [list(row) for row in zip(*grid, strict=True)]
        grid[0][0] = "setting"
    return grid


def _caption(metric: str) -> str:
    return (
        f"{metric.removeprefix('test/')}, percent: mean, sd over seeds, 95 % interval (within a "
        "category over seeds; for the mean, hierarchical bootstrap over categories and seeds)"
    )


def _markdown(
    metric: str,
    table: Mapping[str, Mapping[str, Summary]],
    places: Sequence[str],
    best: str | None,
) -> str:
    def show(text: str) -> str:
        return f"**{text}**" if text == best else text.replace("|", "\\|")

    head, *rows = _grid(table, places, plus_minus="±", dash="-")
    lines = ["| " + " | ".join(map(show, row)) + " |" for row in (head, *rows)]
    lines.insert(1, "|---" * len(head) + "|")
    return "\n".join([f"{_caption(metric)}\n", *lines, f"\n{_best_note(best)}\n"])


def _latex(
    metric: str,
    table: Mapping[str, Mapping[str, Summary]],
    places: Sequence[str],
    best: str | None,
) -> str:
    def show(text: str) -> str:
        escaped = escape_latex(text).replace("±", r"$\pm$")
        return rf"\textbf{{{escaped}}}" if text == best else escaped

    head, *rows = _grid(table, places, plus_minus="±", dash="--")
    lines = [
        r"\begin{table}",
        rf"\caption{{{escape_latex(_caption(metric))}. {escape_latex(_best_note(best))}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        " & ".join(map(show, head)) + r" \\",
        r"\midrule",
    ]
    for row in rows:
        if row[0] == MACRO:
            lines.append(r"\midrule")
        lines.append(" & ".join(map(show, row)) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _best_note(best: str | None) -> str:
    if best is None:
        return "No setting is marked: no advantage over every other one is supported."
    return f"Marked: {best}, whose advantage over every other setting the intervals support."


def escape_latex(text: str) -> str:
    """Text with LaTeX's special characters made harmless."""
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    }
    return "".join(special.get(character, character) for character in text)
