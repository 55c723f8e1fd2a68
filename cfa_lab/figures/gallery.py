"""Images beside what the model made of them, a row each."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cfa_lab.figures.panels import COLOUR_MAP, THRESHOLD_COLOUR, TRUTH_COLOUR
from cfa_lab.figures.style import (
    HEADING,
    INK,
    QUIET,
    SMALL,
    TEXT,
    new_figure,
    printable,
    save,
)
from cfa_lab.tracking.base import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("Image", "Ground truth", "Anomaly map", "Overlay")

# All lengths in inches.
MARGIN, GAP, CAPTION, CELL = 0.15, 0.06, 1.3, 1.6
HEAD, FOOT, BAR_GAP, BAR, BAR_LABELS = 0.6, 0.3, 0.12, 0.12, 0.45
MAX_BAR_HEIGHT = 3.3


def draw_cases(
    panels: Sequence[Panel],
    path: Path,
    *,
    title: str,
    low: float,
    high: float,
    threshold: float | None = None,
) -> None:
    """Draw a row per panel (caption, image, ground truth, anomaly map, overlay) and a colour bar.

    `low`, `high` and `threshold` are those that the panels were rendered with. Six to eight rows
    fit a printed page; there may be more, or none.
    """
    heights = [CELL * np.clip(p.image.shape[0] / p.image.shape[1], 0.4, 1.35) for p in panels]
    body = sum(heights) + GAP * len(heights)
    bar_left = MARGIN + CAPTION + len(COLUMNS) * (CELL + GAP) + BAR_GAP
    page = _Page(bar_left + BAR + BAR_LABELS + MARGIN, HEAD + body + FOOT)
    page.write(MARGIN, 0.28, title, size=HEADING, weight="bold")
    if panels:
        for column, name in enumerate(COLUMNS):
            page.write(_left_of(column) + CELL / 2, HEAD - 0.07, name, align="center")
        tops = HEAD + np.cumsum([0, *heights[:-1]]) + GAP * np.arange(len(panels))
        for panel, top, height in zip(panels, tops, heights, strict=True):
            _draw_row(page, top, height, panel)
        bar = page.axes(bar_left, HEAD, BAR, min(body - GAP, MAX_BAR_HEIGHT))
        _draw_bar(bar, low=low, high=high, threshold=threshold)
        _draw_key(page, HEAD + body + 0.04, panels, threshold=threshold)
    else:
        page.write(MARGIN, HEAD, "No image belongs to this group.", colour=QUIET)
    save(page.figure, path)


class _Page:
    """A figure addressed in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure: Figure = new_figure(width, height)

    def axes(self, left: float, top: float, width: float, height: float) -> "Axes":
        bottom = self.height - top - height
        return self.figure.add_axes(
            (
                left / self.width,
                bottom / self.height,
                width / self.width,
                height / self.height,
            )
        )

    def write(
        self,
        left: float,
        baseline: float,
        text: str,
        *,
        size: float = TEXT,
        colour: str = INK,
        weight: str = "normal",
        align: str = "left",
        width: float = math.inf,
    ) -> None:
        """Write one line; where it is wider than `width`, its middle is left out."""
        line = self.figure.text(
            left / self.width,
            1 - baseline / self.height,
            printable(text),
            fontsize=size,
            color=colour,
            fontweight=weight,
            horizontalalignment=align,
            parse_math=False,
        )
        for num_characters in range(len(text) - 1, 1, -1):
            if line.get_window_extent().width <= width * self.figure.dpi:
                break
            line.set_text(printable(_shorten(text, num_characters)))


def _left_of(column: int) -> float:
    return MARGIN + CAPTION + column * (CELL + GAP)


def _draw_row(page: _Page, top: float, height: float, panel: Panel) -> None:
    _draw_caption(page, top, panel)
    if panel.mask is None:
        truth = np.full(panel.image.shape, 227, dtype=np.uint8)
    else:
        truth = np.where(panel.mask[..., None], 255, 26).astype(np.uint8).repeat(3, axis=2)
    for column, picture in enumerate((panel.image, truth, panel.heat, panel.overlay)):
        axes = page.axes(_left_of(column), top, CELL, height)
        axes.set_axis_off()
        axes.imshow(picture, interpolation="antialiased")
    if panel.mask is None:
        text = "no mask" if panel.label else "no defect"
        middle = _left_of(COLUMNS.index("Ground truth")) + CELL / 2
        page.write(middle, top + height / 2 + 0.03, text, colour=QUIET, align="center")


def _draw_caption(page: _Page, top: float, panel: Panel) -> None:
    folder, _, name = panel.path.rpartition("/")
    width = CAPTION - 2 * GAP
    page.write(MARGIN, top + 0.1, panel.defect, weight="bold", width=width)
    page.write(MARGIN, top + 0.26, f"score {panel.score:.4g}", width=width)
    page.write(MARGIN, top + 0.41, name, size=SMALL, colour=QUIET, width=width)
    page.write(MARGIN, top + 0.54, folder, size=SMALL, colour=QUIET, width=width)


def _shorten(text: str, num_characters: int) -> str:
    """The text without its middle, for which an ellipsis stands."""
    head = num_characters // 2
    return f"{text[:head]}…{text[len(text) - (num_characters - head - 1) :]}"


def _draw_bar(axes: "Axes", *, low: float, high: float, threshold: float | None) -> None:
    from matplotlib.ticker import MaxNLocator

    gradient = np.linspace(0, 1, 256)[:, None]
    axes.imshow(gradient, cmap=COLOUR_MAP, aspect="auto", origin="lower", extent=(0, 1, 0, 1))
    ticks = np.array(MaxNLocator(5).tick_values(low, high) if high > low else [low])
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    extent = high - low if high > low else 1.0
    axes.set_xticks([])
    axes.set_yticks((ticks - low) / extent, [f"{tick:g}" for tick in ticks])
    axes.yaxis.tick_right()
    axes.tick_params(labelsize=SMALL, color=QUIET, labelcolor=INK, length=2, width=0.6)
    axes.set_title("Score", fontsize=SMALL, color=INK, loc="left")
    axes.spines[:].set_visible(False)
    if threshold is not None and low <= threshold <= high:
        height = (threshold - low) / extent
        axes.axhline(height, color=THRESHOLD_COLOUR, linewidth=1.5, path_effects=_dark_edge())


def _draw_key(page: _Page, top: float, panels: Sequence[Panel], *, threshold: float | None) -> None:
    from matplotlib.lines import Line2D

    entries = {}
    if any(panel.mask is not None for panel in panels):
        entries["Outline of the ground truth"] = TRUTH_COLOUR
    if threshold is not None:
        entries[f"Outline of scores above the threshold {threshold:.4g}"] = THRESHOLD_COLOUR
    handles = [
        Line2D([], [], color=colour, linewidth=1.5, label=label, path_effects=_dark_edge())
        for label, colour in entries.items()
    ]
    page.figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(_left_of(0) / page.width, 1 - top / page.height),
        borderaxespad=0,
        borderpad=0,
        frameon=False,
        ncols=2,
        fontsize=SMALL,
        labelcolor=INK,
    )


def _dark_edge() -> list:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=3, foreground="black")]
