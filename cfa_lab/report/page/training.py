"""The report's section on training: traces, and what became of the hyperspheres."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from cfa_lab.records.diagnostics import INSIDE, KINDS, read_diagnostics, scalars
from cfa_lab.records.history import ATTRACTION_AFTER, Trace, read_trace
from cfa_lab.report.charts.panels import Line, colour_class, line_chart, short
from cfa_lab.report.collect import RecordedRun, Study
from cfa_lab.report.page.html_table import head, number_cell, setting_name, sheet
from cfa_lab.report.tables.costs import ROOT_ALPHA

MOST_LINES = 48
"""Runs whose traces stand in one chart."""
MOST_HISTOGRAMS = 6

TRACES = (
    ("train/radius", "Radius r"),
    ("train/loss", "Loss"),
    ("train/active_attraction", "Active share of the attraction"),
    ("train/active_repulsion", "Active share of the repulsion"),
)


def training(study: Study) -> str:
    """Traces and hypersphere diagnostics of each category."""
    colours = {setting: i for i, setting in enumerate(study.settings)}
    parts = []
    for i, category in enumerate(study.categories):
        runs = [run for run in study.runs if run.category == category]
        shown = some_runs(runs)
        note = f"<p>{len(shown)} of {len(runs)} runs.</p>" if len(shown) < len(runs) else ""
        traces = [(run, read_trace(run.files)) for run in shown]
        found = [(run, d) for run in runs if (d := read_diagnostics(run.files)) is not None]
        body = (
            _legend({run.setting for run in shown}, colours)
            + note
            + f'<div class="charts">{_traces(traces, found, colours)}</div>'
            + _hyperspheres(found)
            + f'<div class="charts">{_histograms(found)}</div>'
        )
        is_open = " open" if i == 0 else ""
        parts.append(f"<details{is_open}><summary>{escape(category)}</summary>{body}</details>")
    return "".join(parts)


def some_runs(runs: Sequence[RecordedRun], most: int = MOST_LINES) -> list[RecordedRun]:
    """At most so many runs that a chart can be read: the first seeds of all settings first."""
    rank = Counter()
    ranked = []
    for run in runs:
        ranked.append((rank[run.setting], len(ranked), run))
        rank[run.setting] += 1
    chosen = sorted(ranked, key=lambda entry: entry[:2])[:most]
    return [run for _, _, run in sorted(chosen, key=lambda entry: entry[1])]


def _legend(settings: Iterable[str], colours: Mapping[str, int]) -> str:
    items = "".join(
        f'<li class="{colour_class(number)}">{escape(setting)}</li>'
        for setting, number in colours.items()
        if setting in settings
    )
    return f'<ul class="legend">{items}</ul>'


def _traces(
    traces: Sequence[tuple[RecordedRun, Trace]],
    found: Sequence[tuple[RecordedRun, Mapping[str, Any]]],
    colours: Mapping[str, int],
) -> str:
    """One chart a column; beside the radius, sqrt(alpha), which it must pass to repel anything.

    A descriptor that was solved for has no trace, but an attraction before and after.
    """
    solved = [
        (run, trace["train/attraction"], trace[ATTRACTION_AFTER])
        for run, trace in traces
        if ATTRACTION_AFTER in trace
    ]
    traces = [(run, trace) for run, trace in traces if trace and ATTRACTION_AFTER not in trace]
    told = "".join(
        f'<p class="whole">Solved in one pass: {escape(run.setting)}, seed {run.seed}, attraction '
        f"{short(before[-1])} before, {short(after[-1])} after.</p>"
        for run, before, after in solved
    )
    if not traces:
        return told
    limits = sorted({d["sqrt_alpha"] for _, d in found if d.get("sqrt_alpha")})
    drawn = []
    for column, title in TRACES:
        lines = [
            Line(
                x=trace["step"],
                y=trace[column],
                colour=colours[run.setting],
                title=f"{run.setting} seed={run.seed}",
            )
            for run, trace in traces
        ]
        marks = [(limit, f"{ROOT_ALPHA} = {limit:.3g}") for limit in limits]
        marks = marks if column == "train/radius" else []
        low = None if column == "train/loss" else 0.0
        high = 1.0 if "active" in column else None
        drawn.append(
            line_chart(lines, title=title, x_label="step", marks=marks, low=low, high=high)
        )
    return told + "".join(drawn)


def _hyperspheres(found: Sequence[tuple[RecordedRun, Mapping[str, Any]]]) -> str:
    """A row a run of what its hyperspheres became."""
    if not found:
        return "<p>No run of this category has diagnostics (evaluation.diagnostics=0).</p>"
    names = [
        *("setting", "seed", "r", f"r / {ROOT_ALPHA}"),
        *(f"{kind}: in {number}" for kind in KINDS for number in ("0", "1", "several")),
        *(f"{kind}: median distance" for kind in KINDS),
        *("bank used", "as many as"),
    ]
    rows = []
    for run, d in found:
        found_of = scalars(d)
        shown = [
            *(("radius", ".3g"), ("radius_over_sqrt_alpha", ".3g")),
            *((f"{kind}_inside_{name}", ".1%") for kind in KINDS for name in INSIDE),
            *((f"{kind}_median_distance", ".3g") for kind in KINDS),
            *(("bank_used_ratio", ".1%"), ("bank_effective", ".0f")),
        ]
        numbers = [(run.seed, "g")]
        numbers += [(found_of[f"diagnostics/{name}"], form) for name, form in shown]
        cells = "".join(number_cell(value, form) for value, form in numbers)
        rows.append(f'<tr><th scope="row">{setting_name(run.setting)}</th>{cells}</tr>')
    num_images = sorted({d["num_images"] for _, d in found})
    return (
        f"<p>Test patches of {_from_to(num_images)} images: shares inside no, one and several "
        "hyperspheres (D ≤ r²), distance to the nearest bank entry, share of entries that are "
        "ever nearest, and how many entries, used alike, would be as spread. A patch is a defect "
        "patch if its grid cell overlaps the mask.</p>"
        + sheet(head(names, numbers=range(1, len(names))), rows, "hyperspheres")
    )


def _histograms(found: Sequence[tuple[RecordedRun, Mapping[str, Any]]]) -> str:
    """Distances of normal and defect patches: the first seed of each setting."""
    first: dict[str, tuple[RecordedRun, Mapping[str, Any]]] = {}
    for run, diagnosis in found:
        first.setdefault(run.setting, (run, diagnosis))
    drawn = []
    for run, d in list(first.values())[:MOST_HISTOGRAMS]:
        edges = d["histogram"]["edges"]
        lines = []
        for i, kind in enumerate(KINDS):
            counts = d["histogram"][kind]
            total = sum(counts)
            if total:
                x = [edge for edge in edges for _ in range(2)]
                y = [0.0, *(count / total for count in counts for _ in range(2)), 0.0]
                lines.append(Line(x=x, y=y, colour=i, title=f"{kind} ({total} patches)"))
        border = d["border_distance"]
        drawn.append(
            line_chart(
                lines,
                title=f"Distances, {run.setting} seed={run.seed}",
                x_label="distance to the nearest bank entry",
                marks=[(border, "hypersphere")],
                marks_on_x=True,
                low=0.0,
            )
        )
    items = "".join(f'<li class="c{i}">{kind} patches</li>' for i, kind in enumerate(KINDS))
    legend = f'<div class="whole"><ul class="legend">{items}</ul></div>'
    return legend + "".join(drawn) if drawn else ""


def _from_to(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
