"""The look that all figures share: colours, type sizes, axes, saving."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfa_lab.files import replacing

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours of Okabe and Ito (2008), which colour-blind readers can tell apart.
NORMAL = "#0072B2"
DEFECT = "#D55E00"
INK = "#222222"
QUIET = "#6B6B6B"
FAINT = "#E3E3E3"

SMALL, TEXT, HEADING = 7.0, 8.0, 9.5  # points
DASHED = (0, (4, 2))
DOTS_PER_INCH = 160
LEFT, ABOVE, BELOW = 0.65, 0.3, 0.42  # inches around axes, for labels and titles


def new_figure(
    width: float,
    height: float,
    rows: int = 1,
    columns: int = 1,
    *,
    left: float = LEFT,
    right: float = 0.15,
    gap: float = 0.35,
    **options: Any,
) -> "tuple[Figure, np.ndarray]":
    """A figure and its axes (rows, columns), outside matplotlib's global state; lengths in inches.

    `gap` lies between rows, `left` before every column and `right` behind it, all of them fixed:
    to let matplotlib place axes takes longer than to draw them. `options` are those of `subplots`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    axes_width = width / columns - left - right
    axes_height = (height - ABOVE - BELOW - (rows - 1) * gap) / rows
    place = {
        "left": left / width,
        "right": 1 - right / width,
        "bottom": BELOW / height,
        "top": 1 - ABOVE / height,
        "wspace": (left + right) / axes_width,
        "hspace": gap / axes_height,
    }
    return figure, figure.subplots(rows, columns, squeeze=False, gridspec_kw=place, **options)


def tidy(axes: "Axes", *, title: str, x: str = "", y: str = "") -> None:
    """Label the axes and leave only the lines that carry information."""
    axes.set_title(title, fontsize=HEADING, fontweight="bold", color=INK, loc="left")
    axes.set_xlabel(x, fontsize=TEXT, color=INK)
    axes.set_ylabel(y, fontsize=TEXT, color=INK)
    axes.tick_params(which="both", color=QUIET, labelcolor=INK, labelsize=SMALL, width=0.6)
    axes.tick_params(which="major", length=3)
    axes.tick_params(which="minor", length=1.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=QUIET, linewidth=0.6)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def legend_above(axes: "Axes") -> None:
    """Put the legend in the line of the title, at its right end, where it hides no data."""
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=4,
        frameon=False,
        fontsize=SMALL,
        labelcolor=INK,
        handlelength=1.4,
        columnspacing=1.2,
        borderaxespad=0.2,
    )


def save(figure: "Figure", path: Path) -> None:
    """Write the figure, complete or not at all; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=DOTS_PER_INCH, format=path.suffix.removeprefix("."))
