"""What is found of one metric, for the sections of the report that show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cfa_lab.metrics.names import metric_name
from cfa_lab.report.charts.dots import Dot, DotPanel
from cfa_lab.report.collect import Study
from cfa_lab.report.selection import Search
from cfa_lab.report.statistics import Difference, Summary

MACRO = "mean"
"""What the row of means over categories is called."""

Table = Mapping[str, Mapping[str, Summary]]
"""Setting -> category, or `MACRO`, -> summary."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything said of one metric."""

    study: Study
    metric: str
    table: Table
    differences: Sequence[Difference]
    baseline: str
    best: str | None
    """The setting whose advantage over every other one the intervals support."""
    search: Search


def means_panel(found: Comparison, settings: Sequence[str]) -> DotPanel:
    """Some settings' means over categories, single categories small; a line at the baseline."""
    dots = {
        setting: Dot(
            mean=row[MACRO].mean,
            low=row[MACRO].low,
            high=row[MACRO].high,
            points=[summary.mean for place, summary in row.items() if place != MACRO],
        )
        for setting, row in found.table.items()
        if MACRO in row and setting in settings
    }
    baseline = found.table[found.baseline].get(MACRO)
    mark = baseline.mean if baseline else None
    return DotPanel(title=metric_name(found.metric), dots=dots, mark=mark)
