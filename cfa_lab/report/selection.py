"""The winner of a study, and whether its number is a result or an oracle's."""

from collections.abc import Collection
from dataclasses import dataclass

from cfa_lab.errors import UserError
from cfa_lab.report.collect import RecordedRun, Study
from cfa_lab.report.statistics import (
    Summary,
    summarise_macro,
    summarise_mean,
    with_all_categories,
)


@dataclass(frozen=True, kw_only=True)
class Search:
    """The runs a search looked at: those of these categories and these seeds; empty means all."""

    categories: Collection[str] = ()
    seeds: Collection[int] = ()

    def saw(self, run: RecordedRun) -> bool:
        """Whether the search chose by this run's test metrics."""
        return (not self.categories or run.category in self.categories) and (
            not self.seeds or run.seed in self.seeds
        )


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The setting with the highest mean, and what it reaches where it was not chosen."""

    setting: str
    name: str
    """`oracle/<metric>` where the same test labels chose and measure it, else `test/<metric>`."""
    chosen_from: int
    """Settings it was chosen from."""
    chosen_on: Summary
    reported: Summary | None
    """On the runs kept out of the search; None where the setting has none there."""


def choose_winner(study: Study, metric: str, search: Search) -> Winner | None:
    """The best of a metric on what the search saw; None where there is no choice.

    Only settings with all categories that the search saw can win.
    """
    seen = study.cells(metric, [run for run in study.runs if search.saw(run)])
    there = {setting: seen[setting] for setting in with_all_categories(seen) if seen[setting]}
    if len(there) < 2:
        return None
    best = max(there, key=lambda setting: summarise_mean(there[setting]))
    chosen_on = summarise_macro(there[best])
    assert chosen_on is not None
    kept_out = study.cells(metric, [run for run in study.runs if not search.saw(run)])
    is_apart = bool(search.categories or search.seeds)
    return Winner(
        setting=best,
        name=metric if is_apart else metric.replace("test/", "oracle/"),
        chosen_from=len(there),
        chosen_on=chosen_on,
        reported=summarise_macro(kept_out[best]) if is_apart else None,
    )


def check_search(study: Study, search: Search) -> None:
    """Raise UserError where the search names what is not there, or keeps nothing out."""
    for name, asked, there in (
        ("--search-categories", search.categories, set(study.categories)),
        ("--search-seeds", search.seeds, {run.seed for run in study.runs}),
    ):
        unknown = sorted(set(asked) - there, key=str)
        if unknown:
            shown = ", ".join(map(str, sorted(there, key=str)))
            raise UserError(
                f"{name} has {unknown[0]}, of which there is no run; there are: {shown}"
            )
    if (search.categories or search.seeds) and all(search.saw(run) for run in study.runs):
        raise UserError(
            "the search saw every run, so nothing is kept out to report its winner on; name fewer "
            "categories or seeds"
        )
