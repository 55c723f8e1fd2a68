"""Charts of a run: scores, training, curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cfa_lab.figures.style import (
    ABOVE,
    BELOW,
    DASHED,
    DEFECT,
    INK,
    NORMAL,
    QUIET,
    SMALL,
    TEXT,
    legend_above,
    new_figure,
    save,
    tidy,
)
from cfa_lab.metrics.names import limit_of, of_and_heading
from cfa_lab.records.history import ATTRACTION_AFTER, HISTORY_COLUMNS
from cfa_lab.tracking.base import Curve

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

WIDTH = 5.2  # inches
CURVES_IN_A_ROW = 3


def draw_score_histogram(
    predictions: Sequence[Mapping[str, Any]], path: Path, *, threshold: float | None = None
) -> None:
    """Draw the scores of normal and of defect images as histograms, and each image as a tick.

    Rows have the keys `label` (0 normal, 1 defect) and `score`; either kind may be missing.
    """
    groups = {
        name: (np.array([row["score"] for row in predictions if row["label"] == label]), colour)
        for name, label, colour in (("Normal", 0, NORMAL), ("Defect", 1, DEFECT))
    }
    figure, axes = new_figure(WIDTH, 2.9, 2, gap=0.1, sharex=True, height_ratios=[7, 1])
    counts, ticks = axes[:, 0]
    edges = np.histogram_bin_edges(np.concatenate([scores for scores, _ in groups.values()]), 30)
    for line, (name, (scores, colour)) in enumerate(groups.items()):
        heights, _ = np.histogram(scores, edges)
        counts.stairs(heights, edges, fill=True, color=colour, alpha=0.3)
        counts.stairs(heights, edges, color=colour, label=f"{name} ({len(scores)})")
        ticks.plot(scores, np.full(len(scores), -line), "|", color=colour, markersize=6)
    if threshold is not None:
        style: dict[str, Any] = {"color": INK, "linewidth": 0.9, "linestyle": DASHED}
        counts.axvline(threshold, label=f"Threshold {threshold:.4g}", **style)
        ticks.axvline(threshold, **style)
    tidy(counts, title="Scores", y="Images")
    tidy(ticks, title="", x="Score")
    counts.yaxis.get_major_locator().set_params(integer=True)
    counts.tick_params(labelbottom=False)
    ticks.set(yticks=[], ylim=(-1.7, 0.7))
    ticks.spines["left"].set_visible(False)
    legend_above(counts)
    save(figure, path)


def draw_solution(row: Mapping[str, float], path: Path) -> None:
    """Draw the attraction before and after a descriptor was solved for, from its one step."""
    from matplotlib.ticker import MaxNLocator

    values = [row["train/attraction"], row[ATTRACTION_AFTER]]
    figure, ((axes,),) = new_figure(WIDTH, 1.5)
    bars = axes.barh(["Before", "After"], values, color=[QUIET, NORMAL], height=0.6)
    labels = [f"{value:,.0f}" if value >= 1000 else f"{value:.4g}" for value in values]
    axes.bar_label(bars, labels=labels, padding=3, fontsize=TEXT, color=INK)
    axes.invert_yaxis()
    axes.margins(x=0.25)  # for the longest label, and the last number below
    axes.xaxis.set_major_locator(MaxNLocator(4, prune="upper"))
    axes.xaxis.set_major_formatter("{x:,.6g}")
    tidy(axes, title="Solved in one pass", x="Attraction, mean squared distance to entries over nu")
    save(figure, path)


def draw_training(
    history: "Sequence[Mapping[str, float]] | pd.DataFrame",
    path: Path,
    *,
    sqrt_alpha: float | None = None,
) -> None:
    """Draw loss, radius and share of active pairs over the steps of `history.csv`.

    Pale lines are single steps, strong ones a sliding mean. The radius has a line at
    `sqrt_alpha`, up to which nothing is repelled.
    """
    table = _table(history)
    figure, axes = new_figure(WIDTH, 6.2, 3, gap=0.66, sharex=True)
    loss, radius, active = axes[:, 0]
    steps, losses = table["step"], table["train/loss"]
    _draw_steps(loss, steps, losses, label="Loss", color=INK, linewidth=2.0)
    for term, colour in (("Attraction", NORMAL), ("Repulsion", DEFECT)):
        _draw_steps(loss, steps, table[f"train/{term.lower()}"], label=term, color=colour)
        share = table[f"train/active_{term.lower()}"]
        _draw_steps(active, steps, share, label=term, color=colour)
    _draw_steps(radius, steps, table["train/radius"], label="Radius", color=NORMAL, smooth=False)
    if sqrt_alpha is not None:
        label = f"Root of alpha, {sqrt_alpha:.3g}"
        radius.axhline(sqrt_alpha, label=label, color=QUIET, linewidth=0.9, linestyle=DASHED)
    tidy(loss, title="Loss and its terms")
    tidy(radius, title="Radius of the hyperspheres")
    tidy(active, title="Share of active pairs")
    for axes, text in (
        (loss, "Attraction: pairs outside their radius; repulsion: pairs nearer than allowed."),
        (radius, "Patches nearer than this to an entry count as normal and pull no more."),
        (active, f"Of all patch-entry pairs, those a term acts on. {_steps_and_epochs(table)}."),
    ):
        axes.set_xlabel(text, fontsize=SMALL, color=QUIET, loc="left")
    lowest, highest = np.fmin.reduce(losses, initial=np.inf), np.fmax.reduce(losses, initial=0)
    if 0 < 30 * lowest < highest:
        loss.set_yscale("log", nonpositive="mask")
        loss.set_ylim(bottom=lowest / 30)
    active.set_ylim(-0.03, 1.03)
    active.margins(x=0.01)
    for part in (loss, radius, active):
        legend_above(part)
    save(figure, path)


def draw_curves(
    curves: Mapping[str, Curve],
    path: Path,
    *,
    told: Mapping[str, float | None] | None = None,
    marks: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Draw the curves side by side, three to a row.

    `told` are the run's metrics, of which each curve says its own; a curve up to a limit has a line
    there. `marks` are points (x, y) at which a threshold lies, by the curve's name.
    """
    from matplotlib.ticker import MaxNLocator

    num_columns = min(max(len(curves), 1), CURVES_IN_A_ROW)
    num_rows = max(1, -(-len(curves) // CURVES_IN_A_ROW))
    size = (2.6 * num_columns, 2.7 * num_rows)
    figure, all_axes = new_figure(*size, num_rows, num_columns, gap=ABOVE + BELOW)
    all_axes = all_axes.ravel()
    for axes in all_axes[len(curves) :]:
        axes.set_axis_off()
    for axes, (name, curve) in zip(all_axes, curves.items(), strict=False):
        axes.plot(curve.x, curve.y, color=NORMAL, linewidth=1.4, clip_on=False)
        tidy(axes, title=curve.title, x=curve.x_label, y=curve.y_label)
        smaller: dict[str, Any] = {"fontsize": TEXT, "fontweight": "bold", "color": INK}
        axes.set_title(curve.title, loc="left", **smaller)  # it ends before the next column
        axes.set_box_aspect(1)
        if curve.x.max() > 1:  # numbers longer than those of a share need more room
            axes.xaxis.set_major_locator(MaxNLocator(3))
        if curve.y.min() >= 0 and curve.y.max() <= 1:
            axes.set_ylim(-0.02, 1.02)
        areas = _areas(name, told or {})
        for limit in (limit for limit, _ in areas if limit is not None and limit < 1):
            axes.axvline(limit, color=QUIET, linewidth=0.8, linestyle=DASHED)
        lines = [text for _, text in areas]
        if marks and name in marks:
            axes.plot(*marks[name], "o", color=DEFECT, markersize=5, clip_on=False)
            lines.append("dot: at the threshold")
        if lines:
            falls = name.endswith("_pr")  # its empty corner is the left one
            place: dict[str, Any] = {"va": "bottom", "transform": axes.transAxes}
            place["ha"] = "left" if falls else "right"
            at = 0.05 if falls else 0.97
            axes.text(at, 0.04, "\n".join(lines), fontsize=SMALL, color=INK, **place)
    save(figure, path)


def _areas(name: str, told: Mapping[str, float | None]) -> list[tuple[float | None, str]]:
    """What a curve's metrics say of the area below it, with the limit where it ends at one."""
    kind, _, what = name.partition("_")
    wanted = {"roc": ["auroc"], "pr": ["ap"]}.get(what, [])
    found = [f"test/{kind}_{metric}" for metric in wanted]
    if name == "pro":
        found = [metric for metric in told if metric.startswith("test/aupro_")]
    return [
        (limit_of(metric) if name == "pro" else None, f"{of_and_heading(metric)[1]} {value:.4f}")
        for metric in found
        if (value := told.get(metric)) is not None
    ]


def _steps_and_epochs(table: Mapping[str, np.ndarray]) -> str:
    """The name of the axis of steps, with how many make an epoch."""
    num_epochs = int(table["epoch"].max()) + 1 if len(table["epoch"]) else 0
    if num_epochs < 2:
        return "Steps"
    return f"Steps, {round(len(table['step']) / num_epochs)} to each of {num_epochs} epochs"


def _table(history: "Sequence[Mapping[str, float]] | pd.DataFrame") -> dict[str, np.ndarray]:
    """The columns of a history, (steps,) float64 each, without the import of pandas."""
    if isinstance(history, Sequence):
        return {name: np.array([row[name] for row in history], float) for name in HISTORY_COLUMNS}
    return {name: history[name].to_numpy(float) for name in HISTORY_COLUMNS}


def _draw_steps(
    axes: "Axes",
    steps: np.ndarray,
    values: np.ndarray,
    *,
    label: str,
    color: str,
    linewidth: float = 1.3,
    smooth: bool = True,
) -> None:
    window = max(1, len(values) // 60) if smooth else 1
    if window > 1:
        axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.6)
        values = _sliding_mean(values, window)
    marker = "." if len(values) == 1 else ""
    axes.plot(steps, values, color=color, linewidth=linewidth, marker=marker, label=label)


def _sliding_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of the numbers among `window` values around each; NaN where there is none."""
    known, ones = ~np.isnan(values), np.ones(window)
    total = np.convolve(np.where(known, values, 0.0), ones, mode="same")
    count = np.convolve(known, ones, mode="same")
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
