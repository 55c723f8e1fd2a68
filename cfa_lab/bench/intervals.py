"""How often intervals over test images hold the true value: test sets drawn again and again.

Scores and maps come from populations of images. The truth is the metric of 24,000 images of them;
an interval holds where it contains that. 95 of 100 should. Below the table stands how many figures
lie outside the aim, how many would by chance if all intervals held 95 times, and of how many one
can be sure.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cfa_lab.bench.populations import MapPopulation, ScorePopulation
from cfa_lab.bench.report import machine, new_parser
from cfa_lab.metrics.collected import CollectedScores
from cfa_lab.metrics.decisions import exact_interval
from cfa_lab.metrics.intervals import Interval, image_intervals
from cfa_lab.metrics.ranking import rank
from cfa_lab.metrics.scored_set import ScoredSet
from cfa_lab.metrics.summary import metric_values

SIZES = ((5, 5), (20, 20), (60, 60))
"""Normal and defect images of a test set."""
AUROCS = (0.7, 0.9, 0.97, 0.995)
KINDS = ("even", "wide", "missed")
LIFTS = (0.9, 2.7, 5.0, 7.0)
"""Pixel AUROC about 0.7, 0.9, 0.97 and 0.99."""
LIMITS = (0.3, 0.05)
AIM, AIM_OF_FEW, FEW = (0.93, 0.97), (0.90, 1.0), (5, 5)
"""Shares that should hold, and with the fewest images."""
NUM_TRUE = 12_000
"""Images of each class that the truth is taken from."""
NUM_THRESHOLDS = 300
"""Fewer than in a run, for time; the maps have few pixels."""

Population = ScorePopulation | MapPopulation
Aim = tuple[float, float]
Coverage = dict[str, dict[str, float]]
"""Metric -> `true`, `held`, `below`, `above` (shares of misses), `none`, `width`, `at_one`."""


def run_bench_intervals(num_sets: int = 300, *, seed: int = 0) -> dict[str, Any]:
    """Draw `num_sets` test sets of every population and size; two processes."""
    populations: list[Population] = [ScorePopulation(k, a) for k, a in product(KINDS, AUROCS)]
    populations += [MapPopulation(lift) for lift in LIFTS]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        counted = pool.map(_coverage, populations, [num_sets] * len(populations), [seed] * 99)
        results = dict(zip(map(_name, populations), counted, strict=True))
    return {"setting": {"num_sets": num_sets, "seed": seed}, "results": results}


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench intervals`: print the coverage, and write it with `--json`."""
    parser = new_parser("intervals", __doc__)
    parser.add_argument("--sets", type=int, default=300, help="test sets of each kind and size")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    options = parser.parse_args(argv)
    report = run_bench_intervals(options.sets, seed=options.seed)
    console = Console(width=120)
    console.print(_table(report))
    for sizes, aim in (([s for s in SIZES if s != FEW], AIM), ([FEW], AIM_OF_FEW)):
        console.print(_count(report, sizes, aim), highlight=False)
    if options.json:
        options.json.write_text(json.dumps(report | {"machine": machine()}, indent=2) + "\n")


def _name(population: Population) -> str:
    if isinstance(population, MapPopulation):
        return f"maps, lift {population.lift:g}"
    return f"{population.kind}, AUROC {population.auroc:g}"


def _table(report: Mapping[str, Any]) -> Table:
    sets = report["setting"]["num_sets"]
    table = Table(
        "images",
        "metric",
        title=f"percent of {sets} intervals that hold the truth (of all, that lie above it)",
    )
    for heading in ("truth", *(f"{a} + {b}" for a, b in SIZES)):
        table.add_column(heading, justify="right")
    for name, by_size in report["results"].items():
        for metric in by_size[_size(SIZES[0])]:
            cells = [by_size[_size(size)][metric] for size in SIZES]
            shown = [
                f"{100 * c['held']:.1f} ({100 * c['above']:.1f})"
                + (f", {100 * c['none']:.0f} % none" if c["none"] else "")
                for c in cells
            ]
            table.add_row(name, metric, f"{cells[0]['true']:.4f}", *shown)
    return table


def _count(report: Mapping[str, Any], sizes: Sequence[tuple[int, int]], aim: Aim) -> str:
    """How many figures of these sizes lie outside the aim, in words."""
    found = count_outside(
        [
            figure
            for by_size in report["results"].values()
            for size in sizes
            for figure in by_size[_size(size)].values()
        ],
        report["setting"]["num_sets"],
        aim,
    )
    low, high = (round(100 * share) for share in aim)
    of_those = "where more than 2.5 of 100 sets have the value 1, and all of these hold or none"
    return (
        f"{' and '.join(map(_size, sizes))}, {found['figures']} figures:"
        f" {found['below']} below {low} ({found['surely_below']} by more than chance),"
        f" {found['above']} above {high} ({found['surely_above']} by more than chance;"
        f" {found['at_one']} {of_those});"
        f" {found['by_chance']:.0f} would lie outside by chance if all held 95."
    )


def count_outside(
    figures: Sequence[Mapping[str, float]], num_sets: int, aim: Aim
) -> dict[str, float]:
    """How many figures lie below and above the aim, and of how many one can be sure.

    One is sure where the exact 95 % interval of a share (Clopper and Pearson) does not reach the
    aim. `by_chance` is how many would lie outside if every interval held 95 of 100 times, `at_one`
    how many above it are of sets with the value 1 in more than 2.5 of 100.
    """
    from scipy.stats import binom

    counted = dict.fromkeys(("below", "surely_below", "above", "surely_above", "at_one"), 0)
    by_chance = 0.0
    for figure in figures:
        num = round(num_sets * (1 - figure["none"]))
        held = round(num * figure["held"])
        surely = exact_interval(held, num)
        counted["below"] += held < aim[0] * num
        counted["surely_below"] += surely[1] < aim[0]
        counted["above"] += held > aim[1] * num
        counted["surely_above"] += surely[0] > aim[1]
        counted["at_one"] += held > aim[1] * num and figure["at_one"] > 0.025
        numbers = np.arange(num + 1)
        outside = (numbers < aim[0] * num) | (numbers > aim[1] * num)
        by_chance += float(binom.pmf(numbers[outside], num, 0.95).sum())
    return {"figures": len(figures), **counted, "by_chance": by_chance}


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}+{size[1]}"


def _coverage(population: Population, num_sets: int, seed: int) -> dict[str, Coverage]:
    """Of each size: how often the intervals of each metric hold."""
    truth = _truth(population, np.random.default_rng([seed, 1]))
    counted: dict[str, Coverage] = {}
    for size in SIZES:
        generator = np.random.default_rng([seed, 2, *size])
        found = [_intervals(population, generator, size) for _ in range(num_sets)]
        counted[_size(size)] = {
            metric: _held([intervals[metric] for intervals in found], value)
            for metric, value in truth.items()
        }
    return counted


def _held(intervals: Sequence[Interval], true: float) -> dict[str, float]:
    """Shares among those intervals that there are; `none` among all."""
    bounds = np.array([[i.low, i.high] for i in intervals if not i.why]).reshape(-1, 2)
    above, below = (bounds[:, 0] > true).mean(), (bounds[:, 1] < true).mean()
    return {
        "true": true,
        "held": float(1 - above - below),
        "above": float(above),
        "below": float(below),
        "none": 1 - len(bounds) / len(intervals),
        "width": float(np.diff(bounds).mean()),
        "at_one": float((bounds[:, 1] == 1).mean()),
    }


def _truth(population: Population, generator: np.random.Generator) -> dict[str, float]:
    if isinstance(population, MapPopulation):
        values = _scored(population, generator, (NUM_TRUE, NUM_TRUE)).values()
        return {name: v for name, v in values.items() if not name.startswith("image_")}
    scores, labels = population.draw(generator, 20 * NUM_TRUE, 20 * NUM_TRUE)
    ranking = rank([scores[labels == 0]], scores[labels == 1])
    values = metric_values(ranking, None, aupro_limits=())
    return {name: value for name, value in values.items() if name.startswith("image_")}


def _intervals(
    population: Population, generator: np.random.Generator, size: tuple[int, int]
) -> dict[str, Interval]:
    if isinstance(population, MapPopulation):
        return _scored(population, generator, size).intervals(num_thresholds=NUM_THRESHOLDS)
    scores, labels = population.draw(generator, *size)
    return image_intervals(rank([scores[labels == 0]], scores[labels == 1]), labels, scores)


def _scored(
    population: MapPopulation, generator: np.random.Generator, size: tuple[int, int]
) -> ScoredSet:
    collected = CollectedScores(LIMITS)
    maps, masks = population.draw(generator, *size)
    labels = np.repeat([0, 1], size)
    collected.add(
        list(maps),
        list(masks),
        labels=labels.tolist(),
        scores=maps.max(axis=(1, 2)).tolist(),
        names=[""] * len(maps),
    )
    return collected.scored_set()
