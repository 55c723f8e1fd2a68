"""How often a report's verdicts are wrong, and how often they find what is there.

Studies are simulated: a category's level, what each setting does in each category, and noise of the
seed. At most 5 of 100 studies without a difference may have any verdict or any best setting.
"""

import json
from itertools import product
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cfa_lab.bench.report import machine, new_parser
from cfa_lab.report.collect import Cells
from cfa_lab.report.statistics import best_setting, compare_all

SETTINGS = (2, 3, 6, 20)
CATEGORIES = (6, 15)
SEED_SD = 0.004
LEVEL_SD = 0.05
WORLDS = {"seeds alone": 0.0, "categories, too": 0.006, "categories, skewed": 0.006}
"""Standard deviation of what a setting does in a category, beside the noise of its seeds."""
ADVANTAGE = 0.008
"""By which one setting leads all others where there is something to be found."""


def run_bench_verdicts(
    num_studies: int = 500, *, num_seeds: int = 3, seed: int = 0
) -> dict[str, Any]:
    """Judge `num_studies` simulated studies of every kind, without and with a better setting."""
    results: dict[str, dict[str, float]] = {}
    for world, settings, categories in product(WORLDS, SETTINGS, CATEGORIES):
        generator = np.random.default_rng([seed, settings, categories])
        counts = np.zeros(4)
        for _ in range(num_studies):
            cells = simulated(generator, world, settings, categories, num_seeds)
            verdicts = {(d.a, d.b): d.verdict for d in compare_all(cells, "0")}
            has_verdict = any(v != "inconclusive" for v in verdicts.values())
            has_best = best_setting(cells) is not None
            for values in cells["1"].values():
                values |= {s: value + ADVANTAGE for s, value in values.items()}
            found = [d for d in compare_all(cells, "0") if (d.a, d.b) == ("1", "0")]
            is_found = found[0].verdict == "better"
            counts += has_verdict, has_verdict or has_best, is_found, best_setting(cells) == "1"
        wrong, wrong_or_best, is_found, is_best = counts / num_studies
        results[f"{world}, {settings} settings, {categories} categories"] = {
            "wrong": float(wrong_or_best),
            "wrong_verdict": float(wrong),
            "found": float(is_found),
            "best": float(is_best),
        }
    return {"setting": {"num_studies": num_studies, "num_seeds": num_seeds}, "results": results}


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench verdicts`: print the shares, and write them with `--json`."""
    parser = new_parser("verdicts", __doc__)
    parser.add_argument("--studies", type=int, default=500, help="studies of each kind")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each setting and category")
    options = parser.parse_args(argv)
    report = run_bench_verdicts(options.studies, num_seeds=options.seeds)
    table = Table("study", title=f"percent of {options.studies} studies, {options.seeds} seeds")
    for heading in ("any wrong verdict or best", "true advantage found", "called best"):
        table.add_column(heading, justify="right")
    for name, result in report["results"].items():
        shown = (f"{100 * result[key]:.1f}" for key in ("wrong", "found", "best"))
        table.add_row(name, *shown)
    Console(width=120).print(table)
    if options.json:
        options.json.write_text(json.dumps(report | {"machine": machine()}, indent=2) + "\n")


def simulated(
    generator: np.random.Generator, world: str, settings: int, categories: int, seeds: int
) -> Cells:
    """Values of a study whose settings do not differ in the mean over all categories."""
    values = generator.normal(scale=SEED_SD, size=(settings, categories, seeds))
    values += generator.normal(0.8, LEVEL_SD, size=(1, categories, 1))
    effects = generator.normal(size=(settings, categories, 1))
    if world == "categories, skewed":
        effects = generator.exponential(size=effects.shape) - 1
    values += WORLDS[world] * effects
    return {
        str(s): {f"c{c}": dict(enumerate(values[s, c].tolist())) for c in range(categories)}
        for s in range(settings)
    }
