"""A study's numbers as files: CSV and Parquet for programs, Markdown and LaTeX for papers.

Nothing here depends on when or where the runs were made, `results.*` aside.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from cfa_lab.files import STALE_SECONDS, remove_partials, replacing, write_atomically
from cfa_lab.metrics.names import metric_name
from cfa_lab.report.collect import Study
from cfa_lab.report.comparisons import MACRO, Comparison, Table
from cfa_lab.report.settings import value_of
from cfa_lab.report.statistics import (
    Difference,
    Summary,
    summarise_cell,
    summarise_macro,
)
from cfa_lab.report.tables.costs import beside_accuracy, leak_table
from cfa_lab.report.tables.markdown import (
    best_note,
    caption,
    differences_table,
    grid,
    head,
    metric_table,
    without_html,
)

FORMULAS = tuple("=+-@\t\r")
"""What begins a formula."""


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
            **{key: value_of(run.config, key) for key in study.keys},
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
    remove_partials(output, older_than=STALE_SECONDS)
    frame = results_frame(study)
    files = [output / "results.csv"]
    with replacing(files[0]) as partial:
        inert(frame).to_csv(partial, index=False)
    if has_pyarrow():
        files.append(output / "results.parquet")
        with replacing(files[1]) as partial:
            frame.to_parquet(partial, index=False, engine="pyarrow")
    return files


def inert(frame: pd.DataFrame) -> pd.DataFrame:
    """The table without texts that a spreadsheet would take for formulas: they get a quote."""

    def quote(value: object) -> object:
        return f"'{value}" if isinstance(value, str) and value[:1] in FORMULAS else value

    texts = [n for n in frame.columns if not pd.api.types.is_numeric_dtype(frame[n])]
    quoted = frame.assign(**{name: frame[name].map(quote) for name in texts})
    return quoted.set_axis([quote(name) for name in frame.columns], axis="columns")


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
    study: Study, comparisons: Sequence[Comparison], output: Path, *, latex: bool
) -> list[Path]:
    """Write `summary.csv`, `differences.csv`, `tables.md` and, on request, `tables.tex`."""
    frames = {
        "summary.csv": summary_frame({found.metric: found.table for found in comparisons}),
        "differences.csv": differences_frame({c.metric: c.differences for c in comparisons}),
    }
    for name, frame in frames.items():
        with replacing(output / name) as partial:
            inert(frame).to_csv(partial, index=False)
    texts = {"tables.md": without_html(markdown(study, comparisons))}
    if latex:
        places = [*study.categories, MACRO]
        texts["tables.tex"] = "\n".join(
            _latex(found, places, first=comparisons[0].metric) for found in comparisons
        )
    for name, text in texts.items():
        write_atomically(output / name, text)
    return [output / name for name in (*frames, *texts)]


def markdown(study: Study, comparisons: Sequence[Comparison]) -> str:
    """All of `tables.md`."""
    places = [*study.categories, MACRO]
    parts = [
        head(study),
        *(metric_table(found.metric, found.table, places, found.best) for found in comparisons),
        differences_table({found.metric: found.differences for found in comparisons}),
        leak_table(study),
        beside_accuracy(study),
    ]
    return "\n".join(part for part in parts if part)


def summary_frame(summaries: Mapping[str, Table]) -> pd.DataFrame:
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


def _latex(found: Comparison, places: Sequence[str], *, first: str) -> str:
    """A table with a label; what its numbers are is told once, in the caption of the first."""
    metric, table, best = found.metric, found.table, found.best

    def show(text: str) -> str:
        escaped = escape_latex(text).replace("±", r"$\pm$")
        return rf"\textbf{{{escaped}}}" if text == best else escaped

    names, *rows = grid(table, places, plus_minus="±", dash="--")
    told = escape_latex(caption(metric).partition(",")[2])
    if metric != first:
        told = rf" numbers as in Table~\ref{{{_label(first)}}}"
    told = f"{escape_latex(metric_name(metric))},{told}"
    lines = [
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{told}. {escape_latex(best_note(best))}}}",
        rf"\label{{{_label(metric)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(names) - 1)}}}",
        r"\toprule",
        " & ".join(map(show, names)) + r" \\",
        r"\midrule",
    ]
    for row in rows:
        if row[0] == MACRO:
            lines.append(r"\midrule")
        lines.append(" & ".join(map(show, row)) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _label(metric: str) -> str:
    return f"tab:{metric.rpartition('/')[2].replace('_', '-')}"


def escape_latex(text: str) -> str:
    """Text with LaTeX's special characters made harmless."""
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    }
    return "".join(special.get(character, character) for character in text)
