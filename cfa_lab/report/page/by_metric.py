"""The report's sections that compare settings, once a metric; the page shows one at a time."""

import math
from html import escape

from cfa_lab.metrics.names import metric_name
from cfa_lab.report.charts.dots import dot_rows
from cfa_lab.report.charts.panels import parallel_coordinates
from cfa_lab.report.comparisons import MACRO, Comparison, means_panel
from cfa_lab.report.page.html_table import head, setting_name, sheet
from cfa_lab.report.page.statements import beside_the_paper, statements
from cfa_lab.report.statistics import Summary
from cfa_lab.report.tables.markdown import percent

MOST_ROWS = 300
MOST_DOTS = 40


def comparison(found: Comparison) -> str:
    """Heat map, dots, statements and parallel coordinates of one metric."""
    return (
        _heat_map(found)
        + _dots(found)
        + statements(found)
        + _coordinates(found)
        + beside_the_paper(found)
    )


def _heat_map(found: Comparison) -> str:
    study, table = found.study, found.table
    places = [MACRO, *study.categories]
    means = [summary.mean for row in table.values() for summary in row.values()]
    if not means:
        return "<p>No run has this metric.</p>"
    low, high = min(means), max(means)
    rows = []
    for setting in _highest(found, MOST_ROWS):
        row = table[setting]
        name = (
            f"<strong>{setting_name(setting)}</strong> <em>best</em>"
            if setting == found.best
            else setting_name(setting)
        )
        cells = "".join(
            _heat_cell(row.get(place), low, high, num_categories=len(study.categories))
            for place in places
        )
        rows.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    return (
        "<h3>Categories and settings</h3>"
        "<p>Percent: mean, ± standard deviation over seeds, 95 % interval (Student's t over seeds; "
        f"{MACRO}: over categories). Colour runs from {percent(low)} to "
        f"{percent(high)}.{_left_out(found, MOST_ROWS)}</p>"
        + sheet(
            head(["setting", *places], numbers=range(1, len(places) + 1)),
            rows,
            "settings",
            css="heat",
        )
    )


def _heat_cell(summary: Summary | None, low: float, high: float, *, num_categories: int) -> str:
    if summary is None:
        return '<td class="number none" data-value="">none</td>'
    share = (summary.mean - low) / (high - low) if high > low else 1.0
    more = "" if math.isnan(summary.sd) else f"± {percent(summary.sd)}"
    if not math.isnan(summary.low):
        more += f" [{percent(summary.low)}, {percent(summary.high)}]"
    if 1 < summary.num_categories < num_categories:
        more += f" of {summary.num_categories} categories"
    return (
        f'<td class="number" data-value="{summary.mean:.6f}" style="--v:{share:.3f}">'
        f"{percent(summary.mean)}<small>{more.strip()}</small></td>"
    )


def _dots(found: Comparison) -> str:
    measured = {s: row[MACRO].mean for s, row in found.table.items() if MACRO in row}
    shown = sorted(measured, key=lambda setting: -measured[setting])[:MOST_DOTS]
    colours = {setting: i for i, setting in enumerate(found.table)}
    return (
        "<h3>Means with intervals</h3>"
        "<p>Mean over categories with its 95 % interval, percent; small marks are single "
        f"categories, the dashed line is {escape(found.baseline)}.{_left_out(found, MOST_DOTS)}</p>"
        + dot_rows(shown, means_panel(found, shown), colours=colours)
    )


def _coordinates(found: Comparison) -> str:
    keys = found.study.keys
    rows = [
        (setting, found.table[setting][MACRO])
        for setting in _highest(found, MOST_ROWS)
        if MACRO in found.table[setting]
    ]
    if not keys or len(rows) < 2:
        return ""
    means = [summary.mean for _, summary in rows]
    low, high = min(means), max(means)
    lines = [
        {
            "label": f"{setting}: {percent(summary.mean)} %",
            "shade": (summary.mean - low) / (high - low) if high > low else 1.0,
            "values": [*found.study.values(setting).values(), 100 * summary.mean],
        }
        for setting, summary in sorted(rows, key=lambda pair: pair[1].mean)
    ]
    name = metric_name(found.metric)
    return (
        "<h3>Parallel coordinates</h3><p>A line a setting, stronger where the mean over categories "
        "is higher; point at one, or go to it with Tab, to see it alone."
        f"{_left_out(found, MOST_ROWS)}</p>"
        + parallel_coordinates([*keys, name], lines, title=f"Settings and their {name}")
    )


def _highest(found: Comparison, most: int) -> list[str]:
    """The settings with the highest means, as many as are shown, in the study's order."""
    ranked = sorted(
        found.table,
        key=lambda setting: (
            -found.table[setting][MACRO].mean if MACRO in found.table[setting] else 1
        ),
    )
    kept = set(ranked[:most])
    return [setting for setting in found.table if setting in kept]


def _left_out(found: Comparison, most: int) -> str:
    if len(found.table) <= most:
        return ""
    return f" The {most} highest of {len(found.table)} settings; summary.csv has all."
