"""`python -m cfa_lab report`: what a study's run folders say, as a page and as tables."""

import argparse
import time
from collections import Counter
from pathlib import Path

from cfa_lab.errors import UserError
from cfa_lab.results.collect import Study, collect
from cfa_lab.results.findings import Comparison
from cfa_lab.results.gallery import choose_pictures
from cfa_lab.results.page import write_page
from cfa_lab.results.selection import Search, check_search
from cfa_lab.results.statistics import best_setting, compare_all
from cfa_lab.results.tables import has_pyarrow, summarise, write_results, write_tables


def main(arguments: list[str]) -> None:
    """Read run folders and write the report; raises UserError for what cannot be reported."""
    options = _parser().parse_args(arguments)
    began = time.perf_counter()
    study = collect(options.folders)
    if not study.runs:
        kinds = Counter(left.kind for left in study.left_out)
        found = ", ".join(f"{number} {kind}" for kind, number in kinds.items()) or "no run folder"
        folders = " ".join(map(str, options.folders))
        raise UserError(f"no complete run in {folders} (found: {found}); nothing to report")
    if not study.metrics:
        raise UserError(f"none of {len(study.runs)} runs has a test metric; nothing to report")
    search = Search(categories=options.search_categories, seeds=_seeds(options.search_seeds))
    check_search(study, search)
    baseline = choose_baseline(study, options.baseline)
    if options.output.exists() and not options.output.is_dir():
        raise UserError(f"--output {options.output} is a file; name a folder")
    options.output.mkdir(parents=True, exist_ok=True)
    files = write_report(
        study,
        options.output,
        baseline=baseline,
        search=search,
        num_pictures=options.pictures,
        title=options.title,
    )
    for kind, number in sorted(Counter(left.kind for left in study.left_out).items()):
        print(f"{number} {kind}, named in the report")
    for path in files:
        print(path)
    if not has_pyarrow():
        print("results.parquet left out: it needs pyarrow; pip install 'cfa-lab[report]'")
    print(f"{len(study.runs)} runs in {time.perf_counter() - began:.1f} s")


def write_report(
    study: Study,
    output: Path,
    *,
    baseline: str,
    search: Search,
    num_pictures: int,
    title: str,
) -> list[Path]:
    """Write all files of a report into an existing folder; returns them, the page first."""
    summaries = {metric: summarise(study, metric) for metric in study.metrics}
    differences = {metric: compare_all(study.cells(metric), baseline) for metric in study.metrics}
    best = {metric: best_setting(study.cells(metric)) for metric in study.metrics}
    comparisons = [
        Comparison(
            study=study,
            metric=metric,
            table=summaries[metric],
            differences=differences[metric],
            baseline=baseline,
            best=best[metric],
            search=search,
        )
        for metric in study.metrics
    ]
    page = output / "report.html"
    tables = write_results(study, output) + write_tables(
        study, output, summaries, differences, best
    )
    write_page(page, study, comparisons, list(choose_pictures(study, num_pictures)), title=title)
    return [page, *tables]


def choose_baseline(study: Study, text: str | None) -> str:
    """The one setting that has all keys in `text`; without it the first with most categories.

    Raises UserError where no setting or several do.
    """
    if text is None:
        counts = Counter(setting for setting, _ in {(r.setting, r.category) for r in study.runs})
        return max(study.settings, key=lambda setting: counts[setting])  # the first of equals
    matches = [s for s in study.settings if set(text.split()) <= set(s.split())]
    if len(matches) != 1:
        shown = "; ".join((matches or study.settings)[:6])
        what = f"fits {len(matches)} settings" if matches else "fits no setting"
        raise UserError(f"--baseline {text!r} {what}; name one by its keys: {shown}")
    return matches[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cfa_lab report",
        description="Read run folders and write report.html, results, tables and statistics.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, help="folders that hold runs, at any depth"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("report"), help="where to write; default: report"
    )
    parser.add_argument("--title", default="cfa_lab report", help="heading of the page")
    parser.add_argument(
        "--baseline",
        metavar="SETTING",
        help="what many settings are compared with, such as 'loss.K=3'; "
        "default: the first with most categories",
    )
    parser.add_argument(
        "--search-categories",
        type=lambda text: tuple(text.split(",")),
        default=(),
        metavar="A,B",
        help="categories a search chose by; its winner is reported on the others",
    )
    parser.add_argument(
        "--search-seeds",
        default="",
        metavar="0,1",
        help="seeds a search chose by; its winner is reported on the others",
    )
    parser.add_argument(
        "--pictures", type=int, default=60, metavar="N", help="figures in the gallery at most"
    )
    return parser


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if text)
    except ValueError as error:
        raise UserError(
            f"--search-seeds is {text!r}; allowed: whole numbers with commas between, such as 0,1"
        ) from error
