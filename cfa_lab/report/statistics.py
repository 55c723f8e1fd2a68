"""What a study's numbers support: means and intervals, differences, and who is best, if anyone.

Seeds are repetitions, categories are the cases one wants to generalise over. So intervals of means
over categories come from a hierarchical bootstrap, which draws categories, then seeds within each.
Where there is one category, its seeds are the cases.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from cfa_lab.report.collect import Cells

NUM_RESAMPLES = 5000
LEVEL = 0.95
LEAST_CASES = 6
"""Fewer categories support no statement: five agree by chance in more than one of twenty cases."""

ALL_PAIRS_UP_TO = 6
"""Settings that are all compared with each other; more are compared with the baseline only."""
MOST_COMPARED = 60

Seeds = Mapping[int, float]
"""Seed -> value."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A mean, the standard deviation over seeds and a 95 % interval; NaN where there is none."""

    mean: float
    sd: float = math.nan
    low: float = math.nan
    high: float = math.nan
    num_runs: int
    num_categories: int = 1


@dataclass(frozen=True, kw_only=True)
class Difference:
    """By how much setting `a` exceeds `b` in the mean over the categories that both have."""

    a: str
    b: str
    mean: float
    low: float
    high: float
    num_categories: int
    num_pairs: int
    """Pairs of one category and seed; where no seed is shared, the smaller number of runs."""
    num_tested: int
    """Pairs the Wilcoxon test has: categories, or seeds where there is one category."""
    p: float
    p_holm: float = math.nan
    """Corrected for all comparisons of the same metric."""

    @property
    def num_cases(self) -> int:
        """What the statement is over: categories, or pairs of seeds where there is one category."""
        return self.num_categories if self.num_categories > 1 else self.num_pairs

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `inconclusive`, from the interval."""
        if self.num_cases < LEAST_CASES or not (self.low > 0 or self.high < 0):
            return "inconclusive"
        return "better" if self.low > 0 else "worse"


def summarise_cell(values: Seeds) -> Summary:
    """One category in one setting; Student's t interval over seeds, cut to 0..1."""
    numbers = np.array(list(values.values()))
    mean, count = float(numbers.mean()), len(numbers)
    if count < 2:
        return Summary(mean=mean, num_runs=count)
    sd = float(numbers.std(ddof=1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * sd / math.sqrt(count)
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    return Summary(mean=mean, sd=sd, low=low, high=high, num_runs=count)


def summarise_macro(categories: Mapping[str, Seeds]) -> Summary | None:
    """The mean over categories of a setting; hierarchical bootstrap interval, None without runs.

    `sd` is that of the macro mean over the seeds that all categories have.
    """
    if not categories:
        return None
    groups = [np.array(list(seeds.values())) for seeds in categories.values()]
    low, high = _interval([(group,) for group in groups])
    shared = set.intersection(*(set(seeds) for seeds in categories.values()))
    by_seed = [np.mean([seeds[s] for seeds in categories.values()]) for s in sorted(shared)]
    return Summary(
        mean=float(np.mean([group.mean() for group in groups])),
        sd=float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else math.nan,
        low=low,
        high=high,
        num_runs=sum(map(len, groups)),
        num_categories=len(groups),
    )


def compare(cells: Cells, a: str, b: str) -> Difference | None:
    """The difference of two settings; None where no category has both.

    Seeds that both settings have are compared pairwise. Where some category has none, all seeds
    of both settings count and are drawn independently.
    """
    common = [category for category in cells[a] if category in cells[b]]
    if not common:
        return None
    pairs = [(cells[a][category], cells[b][category]) for category in common]
    if all(set(one) & set(other) for one, other in pairs):
        drawn = [
            (np.array([one[seed] - other[seed] for seed in sorted(set(one) & set(other))]),)
            for one, other in pairs
        ]
        num_pairs = sum(len(differences) for (differences,) in drawn)
    else:
        drawn = [
            (np.array(list(one.values())), -np.array(list(other.values()))) for one, other in pairs
        ]
        num_pairs = sum(min(len(one), len(other)) for one, other in drawn)
    means = np.array([sum(part.mean() for part in parts) for parts in drawn])
    low, high = _interval(drawn)
    tested = drawn[0][0] if len(drawn) == 1 and len(drawn[0]) == 1 else means
    return Difference(
        a=a,
        b=b,
        mean=float(means.mean()),
        low=low,
        high=high,
        num_categories=len(common),
        num_pairs=num_pairs,
        num_tested=len(tested),
        p=wilcoxon(tested),
    )


def compare_all(cells: Cells, baseline: str) -> list[Difference]:
    """All pairs of few settings, or the first of many against the baseline; Holm-corrected."""
    settings = [setting for setting, categories in cells.items() if categories]
    if len(settings) <= ALL_PAIRS_UP_TO:
        pairs = [
            (one, other) if other == baseline else (other, one)
            for one, other in combinations(settings, 2)
        ]
    else:
        pairs = [(setting, baseline) for setting in settings if setting != baseline]
    found = [compare(cells, a, b) for a, b in pairs[:MOST_COMPARED]]
    differences = [difference for difference in found if difference is not None]
    corrected = holm([difference.p for difference in differences])
    return [replace(d, p_holm=p) for d, p in zip(differences, corrected, strict=True)]


def best_setting(cells: Cells) -> str | None:
    """The setting whose advantage over every other one the intervals support; None without such.

    It must have all categories, or its mean could be high by what it lacks.
    """
    macro = {setting: summarise_mean(seeds) for setting, seeds in cells.items() if seeds}
    ranked = sorted(macro, key=lambda setting: -macro[setting])
    best = next((setting for setting in ranked if setting in with_all_categories(cells)), None)
    if best is None or len(ranked) < 2:
        return None
    for other in ranked:  # the highest first: they mostly settle the matter
        if other == best:
            continue
        difference = compare(cells, best, other)
        if difference is None or difference.verdict != "better":
            return None
    return best


def with_all_categories(cells: Cells) -> list[str]:
    """The settings that have every category which any setting has."""
    there = {category for categories in cells.values() for category in categories}
    return [setting for setting, categories in cells.items() if set(categories) == there]


def summarise_mean(categories: Mapping[str, Seeds]) -> float:
    """The mean over categories of the mean over seeds; NaN without any."""
    means = [float(np.mean(list(seeds.values()))) for seeds in categories.values()]
    return float(np.mean(means)) if means else math.nan


def wilcoxon(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; pairs without a difference are left out.

    1 where none differs, NaN for fewer than two pairs.
    """
    if len(differences) < 2:
        return math.nan
    nonzero = differences[differences != 0]
    if not len(nonzero):
        return 1.0
    with warnings.catch_warnings():  # older scipy warns that few tied pairs are approximate
        warnings.simplefilter("ignore")
        result: Any = stats.wilcoxon(nonzero)
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979) of the p values of one family; NaN stays out of it."""
    corrected = [math.nan] * len(p_values)
    valid = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    highest = 0.0
    for rank, (p, i) in enumerate(valid):
        highest = max(highest, min(1.0, p * (len(valid) - rank)))
        corrected[i] = highest
    return corrected


def _interval(groups: Sequence[tuple[np.ndarray, ...]]) -> tuple[float, float]:
    """Percentile interval of the hierarchical bootstrap; NaN where nothing can be drawn anew.

    A group is a category: one or more samples over seeds, drawn apart, whose means are added.
    """
    if len(groups) < 2 and all(len(part) < 2 for group in groups for part in group):
        return math.nan, math.nan
    total = np.zeros(NUM_RESAMPLES)
    for i, parts in enumerate(zip(*groups, strict=True)):
        counts = tuple(len(part) for part in parts)
        padded = np.zeros((len(parts), max(counts)))  # (c, s)
        for row, part in zip(padded, parts, strict=True):
            row[: len(part)] = part
        place, weight = _draws(counts, stream=i)
        total += (padded.ravel()[place] * weight).sum(1)
    num_cases = len(groups) if len(groups) > 1 else min(len(part) for part in groups[0])
    tail = _tail(max(2, num_cases))
    low, high = np.quantile(total, [tail, 1 - tail])
    return float(low), float(high)


@lru_cache(maxsize=16)  # most comparisons of a study have the same seeds in the same categories
def _draws(counts: tuple[int, ...], *, stream: int) -> tuple[np.ndarray, np.ndarray]:
    """Which values each resample draws and how much each weighs, both (r, c * s).

    `counts` are the c categories' numbers of seeds, at most s; places are those of a table (c, s).
    Categories are the same for all streams, seeds within them are not. Always the same draws, so
    that a report made twice is the same report.
    """
    num_categories, most = len(counts), max(counts)
    size = (NUM_RESAMPLES, num_categories)
    categories = np.random.default_rng(0).integers(num_categories, size=size)  # (r, c)
    number = np.array(counts)[categories][..., None]  # (r, c, 1)
    uniform = np.random.default_rng([1, stream]).random((*size, most))
    place = categories[..., None] * most + (uniform * number).astype(int)  # (r, c, s)
    weight = (np.arange(most) < number) / number / num_categories
    return place.reshape(len(place), -1), weight.reshape(len(weight), -1)


def _tail(num_cases: int) -> float:
    """The quantile at which to cut: bootstrap intervals of few cases are too narrow.

    Expanded percentile interval (Hesterberg 2015, section 5.3): as far out as Student's t and the
    unbiased variance would go.
    """
    t = stats.t.ppf((1 + LEVEL) / 2, num_cases - 1)
    return float(stats.norm.cdf(-math.sqrt(num_cases / (num_cases - 1)) * t))
