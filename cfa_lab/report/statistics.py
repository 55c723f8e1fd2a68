"""What a study's numbers support: means and intervals, differences, and who is best, if anyone.

Seeds are repetitions, categories are the cases one wants to generalise over. So means over
categories have Student's t intervals over the categories' means, in which what seeds leave open is
contained once; where there is one category, its seeds are the cases. A study that makes many
comparisons of a metric finds a difference by chance more often than one, so verdicts are Holm's
(1979): in 95 of 100 studies all verdicts on a metric are right together.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from cfa_lab.report.collect import Cells
from cfa_lab.report.significance import cut_to_range, holm, students_t

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
    p: float
    """Two-sided, of the t test that the interval belongs to."""
    num_comparisons: int = 1
    """Comparisons of the same metric that are decided together with this one."""
    p_holm: float = math.nan
    """Corrected for them."""

    @property
    def num_cases(self) -> int:
        """What the statement is over: categories, or pairs of seeds where there is one category."""
        return self.num_categories if self.num_categories > 1 else self.num_pairs

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `inconclusive`, from the interval, which is Holm's."""
        if self.num_cases < LEAST_CASES or not (self.low > 0 or self.high < 0):
            return "inconclusive"
        return "better" if self.low > 0 else "worse"


def summarise_cell(values: Seeds) -> Summary:
    """One category in one setting; Student's t interval over seeds, cut to 0..1 if values are."""
    numbers = np.array(list(values.values()))
    mean, count = float(numbers.mean()), len(numbers)
    if count < 2:
        return Summary(mean=mean, num_runs=count)
    low, high = cut_to_range(numbers, *students_t([numbers], LEVEL)[:2])
    return Summary(mean=mean, sd=float(numbers.std(ddof=1)), low=low, high=high, num_runs=count)


def summarise_macro(categories: Mapping[str, Seeds]) -> Summary | None:
    """The mean over categories of a setting, with Student's t interval over their means.

    Over seeds where there is one category; cut like a cell's. `sd` is that of the macro mean over
    the seeds that all categories have. None without runs.
    """
    if not categories:
        return None
    if len(categories) == 1:
        return summarise_cell(next(iter(categories.values())))
    means = np.array([float(np.mean(list(seeds.values()))) for seeds in categories.values()])
    low, high = cut_to_range(means, *students_t([means], LEVEL)[:2])
    shared = set.intersection(*(set(seeds) for seeds in categories.values()))
    by_seed = [float(np.mean([v[s] for v in categories.values()])) for s in sorted(shared)]
    return Summary(
        mean=float(means.mean()),
        sd=float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else math.nan,
        low=low,
        high=high,
        num_runs=sum(map(len, categories.values())),
        num_categories=len(categories),
    )


def compare(
    cells: Cells, a: str, b: str, *, level: float = LEVEL, num_comparisons: int = 1
) -> Difference | None:
    """The difference of two settings with its interval; None where no category has both.

    Seeds that both settings have are compared pairwise. Where some category has none, all seeds of
    both settings count, and the means of a category are subtracted.
    """
    common = [category for category in cells[a] if category in cells[b]]
    if not common:
        return None
    pairs = [(cells[a][category], cells[b][category]) for category in common]
    samples: list[list[np.ndarray]]
    if all(set(one) & set(other) for one, other in pairs):
        samples = [
            [np.array([one[seed] - other[seed] for seed in sorted(set(one) & set(other))])]
            for one, other in pairs
        ]
        num_pairs = sum(len(differences) for (differences,) in samples)
    else:
        samples = [
            [np.array(list(one.values())), -np.array(list(other.values()))] for one, other in pairs
        ]
        num_pairs = sum(min(len(one), len(other)) for one, other in samples)
    means = np.array([sum(float(part.mean()) for part in parts) for parts in samples])
    low, high, p = students_t(samples[0] if len(samples) == 1 else [means], level)
    return Difference(
        a=a,
        b=b,
        mean=float(means.mean()),
        low=low,
        high=high,
        num_categories=len(common),
        num_pairs=num_pairs,
        p=p,
        num_comparisons=num_comparisons,
        p_holm=min(1.0, p * num_comparisons),
    )


def compare_all(cells: Cells, baseline: str) -> list[Difference]:
    """All pairs of few settings, or the first of many against the baseline; decided together."""
    settings = [setting for setting, categories in cells.items() if categories]
    if len(settings) <= ALL_PAIRS_UP_TO:
        pairs = [
            (one, other) if other == baseline else (other, one)
            for one, other in combinations(settings, 2)
        ]
    else:
        pairs = [(setting, baseline) for setting in settings if setting != baseline]
    return compare_pairs(cells, pairs[:MOST_COMPARED])


def compare_pairs(cells: Cells, pairs: Iterable[tuple[str, str]]) -> list[Difference]:
    """The differences of these pairs of settings, decided together by Holm's step-down tests.

    Each interval is as wide as the step at which its test was made asks, so that it leaves 0 out
    just where the test rejects. Pairs with too few cases for a verdict take no part.
    """
    found = [difference for a, b in pairs if (difference := compare(cells, a, b)) is not None]
    takes_part = [d.num_cases >= LEAST_CASES and not math.isnan(d.p) for d in found]
    corrected = holm([d.p if part else math.nan for d, part in zip(found, takes_part, strict=True)])
    count = sum(takes_part)
    rejected = sum(p <= 1 - LEVEL for p in corrected)
    order = sorted((d.p, i) for i, d in enumerate(found) if takes_part[i])
    step = {i: min(place, rejected) for place, (_, i) in enumerate(order)}
    together = []
    for i, difference in enumerate(found):
        level = 1 - (1 - LEVEL) / max(1, count - step.get(i, 0))
        again = compare(cells, difference.a, difference.b, level=level)
        assert again is not None
        together.append(replace(again, num_comparisons=max(1, count), p_holm=corrected[i]))
    return together


def best_setting(cells: Cells) -> str | None:
    """The setting whose advantage over every other one is supported; None without such.

    It must have all categories, or its mean could be high by what it lacks. Every advantage has to
    hold at the level that as many comparisons as there are other settings leave to each.
    """
    macro = {setting: summarise_mean(seeds) for setting, seeds in cells.items() if seeds}
    ranked = sorted(macro, key=lambda setting: -macro[setting])
    best = next((setting for setting in ranked if setting in with_all_categories(cells)), None)
    if best is None or len(ranked) < 2:
        return None
    num_settings = len(ranked)
    is_pairwise = num_settings <= ALL_PAIRS_UP_TO
    count = num_settings * (num_settings - 1) // 2 if is_pairwise else num_settings - 1
    for other in ranked:  # the highest first: they mostly settle the matter
        if other == best:
            continue
        difference = compare(cells, best, other, level=1 - (1 - LEVEL) / count)
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
