"""The look that all figures share: colours, type sizes, axes, saving."""

from pathlib import Path
from typing import TYPE_CHECKING

from cfa_lab.files import replacing

if TYPE_CHECKING:
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
DOTS_PER_INCH = 200


def new_figure(width: float, height: float, *, constrained: bool = False) -> "Figure":
    """An empty figure of this size in inches, outside matplotlib's global state.

    `constrained` leaves the placing of axes to matplotlib.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layout = "constrained" if constrained else None
    figure = Figure(figsize=(width, height), facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


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
