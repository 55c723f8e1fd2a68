"""`python -m cfa_lab report`: what a study's run folders say, as a page and as tables."""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cfa_lab.errors import Parser, UserError
from cfa_lab.files import user_path
from cfa_lab.report.collect import Study, collect
from cfa_lab.report.comparisons import Comparison
from cfa_lab.report.page.gallery import choose_pictures
from cfa_lab.report.page.page import write_page
from cfa_lab.report.publish import publish
from cfa_lab.report.selection import Search, check_search
from cfa_lab.report.settings import USUAL, has_value
from cfa_lab.report.statistics import best_setting, compare_all
from cfa_lab.report.tables.write import has_pyarrow, summarise, write_results, write_tables


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
    comparisons = compare_settings(study, baseline=baseline, search=search)
    if options.publish:
        files = publish(study, comparisons, options.output)
    else:
        files = write_report(
            study, comparisons, options.output, num_pictures=options.pictures, title=options.title
        )
    for kind, number in sorted(Counter(left.kind for left in study.left_out).items()):
        print(f"{number} {kind}, {'not counted' if options.publish else 'named in the report'}")
    for path in files:
        print(path)
    if not options.publish and not has_pyarrow():
        print("results.parquet left out: it needs pyarrow; pip install 'cfa-lab[report]'")
    print(f"{len(study.runs)} runs in {time.perf_counter() - began:.1f} s")


def write_report(
    study: Study, comparisons: Sequence[Comparison], output: Path, *, num_pictures: int, title: str
) -> list[Path]:
    """Write all files of a report into an existing folder; returns them, the page first."""
    page = output / "report.html"
    tables = write_results(study, output) + write_tables(study, comparisons, output, latex=True)
    write_page(page, study, comparisons, list(choose_pictures(study, num_pictures)), title=title)
    return [page, *tables]


def compare_settings(study: Study, *, baseline: str, search: Search) -> list[Comparison]:
    """All that is said of each metric."""
    return [
        Comparison(
            study=study,
            metric=metric,
            table=summarise(study, metric),
            differences=compare_all(study.cells(metric), baseline),
            baseline=baseline,
            best=best_setting(study.cells(metric)),
            search=search,
        )
        for metric in study.metrics
    ]


def choose_baseline(study: Study, text: str | None) -> str:
    """The setting of this name, or the one that has these values; without a text the usual one, or
    else the first, of those with most categories.

    The values may be of any key, not only of those in names. Raises UserError where no setting has
    them, or several do.
    """
    if text is None:
        counts = Counter(setting for setting, _ in {(r.setting, r.category) for r in study.runs})
        most = [s for s in study.settings if counts[s] == max(counts.values())]
        return USUAL if USUAL in most else most[0]
    if text in study.settings:
        return text
    configs = {run.setting: run.config for run in study.runs}
    matches = [
        setting
        for setting in study.settings
        if all(has_value(configs[setting], part) for part in text.split())
    ]
    if len(matches) != 1:
        shown = "; ".join((matches or study.settings)[:6])
        what = f"fits {len(matches)} settings" if matches else "fits no setting"
        raise UserError(f"--baseline {text!r} {what}; name one by its keys: {shown}")
    return matches[0]


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m cfa_lab report",
        description="Read run folders and write report.html, results, tables and statistics.",
    )
    parser.add_argument(
        "folders", nargs="+", type=user_path, help="folders that hold runs, at any depth"
    )
    parser.add_argument(
        "--output", type=user_path, default=Path("report"), help="where to write; default: report"
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="write only what belongs into a repository: tables, statistics and plots without "
        "paths; times go to cost.md",
    )
    parser.add_argument("--title", default="cfa_lab report", help="heading of the page")
    parser.add_argument(
        "--baseline",
        metavar="SETTING",
        help="what many settings are compared with, such as 'loss.K=3'; "
        "default: the usual one, or else the first, of those with most categories",
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
