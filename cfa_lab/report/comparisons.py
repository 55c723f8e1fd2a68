"""What is found of one metric, for the sections of the report that show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cfa_lab.report.collect import Study
from cfa_lab.report.selection import Search
from cfa_lab.report.statistics import Difference, Summary

NAMES = {"auroc": "AUROC", "ap": "AP", "f1max": "F1max"}

Table = Mapping[str, Mapping[str, Summary]]
"""Setting -> category, or `mean`, -> summary."""


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


def metric_name(metric: str) -> str:
    """A metric as people write it: `test/pixel_auroc` is pixel AUROC, `test/aupro_30` AUPRO@0.3."""
    kind, _, short = metric.partition("/")[2].partition("_")
    if kind in ("aupro", "spro"):
        name = "AUPRO" if kind == "aupro" else "sPRO"
        return f"{name}@0.{short.rstrip('0') or '0'}"
    if kind == "seg":
        return "SegF1"
    return f"{kind} {NAMES.get(short, short.replace('_', ' '))}"
