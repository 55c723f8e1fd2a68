"""What of a study belongs into a repository: tables, statistics and plots, without paths or times.

The same runs give the same bytes, wherever they lie; only `cost.md` tells how long things took.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from cfa_lab.files import write_atomically
from cfa_lab.metrics.names import metric_name
from cfa_lab.records.history import read_epochs, read_trace
from cfa_lab.report.charts.dots import Dot, DotPanel
from cfa_lab.report.charts.panels import Line, line_panel
from cfa_lab.report.charts.svg_files import dots_svg, lines_svg
from cfa_lab.report.collect import RecordedRun, Study
from cfa_lab.report.comparisons import Comparison, means_panel
from cfa_lab.report.page.training import some_runs
from cfa_lab.report.tables.costs import ROOT_ALPHA, sqrt_alpha, times
from cfa_lab.report.tables.markdown import category_differences, main_metrics
from cfa_lab.report.tables.mvtec import mvtec_tables
from cfa_lab.report.tables.write import write_tables

MOST_ROWS = 40
"""Settings in a plot; the tables have all."""
MOST_LINES, MOST_PANELS = 24, 9
"""Runs whose radius stands in one panel, and categories that have one."""


def publish(study: Study, comparisons: Sequence[Comparison], output: Path) -> list[Path]:
    """Write the files into an existing folder; returns them.

    A file of an earlier report that this study has no such part for is removed.
    """
    written = write_tables(study, comparisons, output, latex=False)
    texts = {
        "cost.md": times(study),
        "categories.md": category_differences(study, comparisons[0].baseline),
        "metrics.svg": _metrics(study, comparisons),
        "differences.svg": _differences(study, comparisons),
        "radius.svg": _radius(study),
        "epochs.svg": _epochs(study),
        "mvtec.md": mvtec_tables(study, comparisons),
    }
    for name, text in texts.items():
        if text:
            write_atomically(output / name, text)
            written.append(output / name)
        else:
            (output / name).unlink(missing_ok=True)
    return written


def _main(comparisons: Sequence[Comparison]) -> list[Comparison]:
    found = {comparison.metric: comparison for comparison in comparisons}
    return [found[name] for name in main_metrics(found) if found[name].table]


def _colours(study: Study) -> dict[str, int]:
    return {setting: i for i, setting in enumerate(study.settings)}


def _metrics(study: Study, comparisons: Sequence[Comparison]) -> str:
    """Means over categories; the line is the baseline's."""
    labels = study.settings[:MOST_ROWS]
    panels = []
    for found in _main(comparisons):
        panel = means_panel(found, labels)
        if panel.dots:
            panels.append(panel)
    title = (
        "Mean over categories and its 95 % interval, percent; small marks are single categories, "
        f"the dashed line is {comparisons[0].baseline}"
    )
    return dots_svg(labels, panels, title=title, colours=_colours(study)) if panels else ""


def _differences(study: Study, comparisons: Sequence[Comparison]) -> str:
    """Each setting minus the baseline, over the same categories and seeds."""
    panels, labels = [], []
    for found in _main(comparisons):
        dots = {}
        for d in found.differences:
            if d.b == found.baseline:
                dots[d.a] = Dot(mean=d.mean, low=d.low, high=d.high)
            elif d.a == found.baseline:
                dots[d.b] = Dot(mean=-d.mean, low=-d.high, high=-d.low)
        labels = labels or [setting for setting in study.settings if setting in dots][:MOST_ROWS]
        shown = {setting: dot for setting, dot in dots.items() if setting in labels}
        if shown:
            panels.append(DotPanel(title=metric_name(found.metric), dots=shown, mark=0.0))
    if not panels:
        return ""
    title = (
        f"Difference to {comparisons[0].baseline} over the same categories and seeds, percentage "
        "points, and its 95 % interval"
    )
    return dots_svg(labels, panels, title=title, colours=_colours(study))


def _radius(study: Study) -> str:
    """The radius of each run, beside what it must pass to repel; empty where none moves."""
    colours, panels, shown = _colours(study), {}, set()
    for category in study.categories[:MOST_PANELS]:
        runs = [run for run in study.runs if run.category == category]
        drawn = some_runs([run for run in runs if _moves(run)], MOST_LINES)
        limits = sorted({limit for run in drawn if (limit := sqrt_alpha(run)) is not None})
        lines = []
        for run in drawn:
            trace = read_trace(run.files)
            title = f"{run.setting} seed={run.seed}"
            y = [abs(radius) for radius in trace["train/radius"]]
            lines.append(Line(x=trace["step"], y=y, colour=colours[run.setting], title=title))
        marks = [(limit, f"{ROOT_ALPHA} = {limit:.3g}") for limit in limits]
        if panel := line_panel(lines, x_label="step", marks=marks, low=0.0):
            panels[category] = panel
            shown |= {run.setting for run in drawn}
    if not panels:
        return ""
    legend = {setting: number for setting, number in colours.items() if setting in shown}
    title = "Radius r over training, a line a run"
    if len(study.categories) > MOST_PANELS:
        title += f"; the first {MOST_PANELS} of {len(study.categories)} categories"
    return lines_svg(panels, title=title, legend=legend)


def _moves(run: RecordedRun) -> bool:
    return len(set(read_trace(run.files).get("train/radius", ()))) > 1


def _epochs(study: Study) -> str:
    """Metrics over epochs where these were evaluated: means over categories of means over seeds."""
    colours, panels, shown = _colours(study), {}, set()
    evaluated = [(run, epochs) for run in study.runs if (epochs := read_epochs(run.files))]
    for metric in main_metrics(study.metrics):
        lines = []
        for setting in study.settings:
            places: dict[str, list[dict[int, float]]] = {}
            for run, epochs in evaluated:
                if run.setting == setting and metric in epochs:
                    places.setdefault(run.category, []).append(epochs[metric])
            every = [values for runs in places.values() for values in runs]
            common = sorted(set.intersection(*map(set, every))) if every else []
            if len(common) > 1:
                y = [
                    100 * fmean(fmean(values[epoch] for values in runs) for runs in places.values())
                    for epoch in common
                ]
                lines.append(Line(x=common, y=y, colour=colours[setting], title=setting))
                shown.add(setting)
        if panel := line_panel(lines, x_label="epoch, counted from 0"):
            panels[metric_name(metric)] = panel
    if not panels:
        return ""
    legend = {setting: number for setting, number in colours.items() if setting in shown}
    title = "Test metrics of the evaluated epochs, percent; choosing one by them makes it an oracle"
    return lines_svg(panels, title=title, legend=legend)
