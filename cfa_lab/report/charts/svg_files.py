"""Plots as SVG files of their own, readable on light and dark grounds: no page, no script."""

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from textwrap import wrap

from cfa_lab.report.charts.dots import (
    GAP,
    LETTER,
    LINE,
    MARGIN,
    DotPanel,
    DotRows,
    svg_text,
)
from cfa_lab.report.charts.panels import HEIGHT, NUM_COLOURS, WIDTH, colour_class

GRID_COLUMNS = 3

STYLE = (Path(__file__).parents[1] / "page" / "assets" / "report.css").read_text(encoding="utf-8")
"""The page's style sheet, whose colours these files share."""


def dots_svg(
    labels: Sequence[str], panels: Sequence[DotPanel], *, title: str, colours: Mapping[str, int]
) -> str:
    """Rows of settings, panels side by side, in percent."""
    drawn = DotRows(labels, panels, colours=colours)
    caption, top = _caption(title, drawn.width)
    body, bottom = drawn.draw(top)
    return _document([*caption, *body], drawn.width, bottom + MARGIN, title)


def lines_svg(panels: Mapping[str, str], *, title: str, legend: Mapping[str, int]) -> str:
    """Panels of `charts.line_panel` under a common legend: setting -> its colour's number."""
    columns = min(GRID_COLUMNS, len(panels))
    width = 2 * MARGIN + columns * (WIDTH + GAP) - GAP
    parts, y = _caption(title, width)
    x = float(MARGIN)
    for label, number in legend.items():
        needed = 24 + LETTER * len(label) + GAP
        if x > MARGIN and x + needed > width:
            x, y = float(MARGIN), y + LINE + 4
        parts.append(f'<path class="line {colour_class(number)}" d="M{x:.1f} {y + 4:.1f}h18"/>')
        parts.append(svg_text(x + 24, y + 8, label, css="ink"))
        x += needed
    y += LINE + 2
    for i, (name, panel) in enumerate(panels.items()):
        row, column = divmod(i, columns)
        left, top = MARGIN + column * (WIDTH + GAP), y + 8 + row * (HEIGHT + LINE + GAP)
        parts.append(svg_text(left, top + LINE, name, css="ink"))
        place = f'x="{left}" y="{top + LINE + 4:.1f}" width="{WIDTH}" height="{HEIGHT}"'
        parts.append(f"<svg {place}>{panel}</svg>")
    rows = math.ceil(len(panels) / columns)
    return _document(parts, width, y + 8 + rows * (HEIGHT + LINE + GAP) + MARGIN, title)


def _caption(title: str, width: float) -> tuple[list[str], float]:
    """The title in as many lines as it needs, and where the rest begins."""
    lines = wrap(title, int((width - 2 * MARGIN) / LETTER))
    parts = [svg_text(MARGIN, MARGIN + LINE * i + 6, line) for i, line in enumerate(lines)]
    return parts, float(MARGIN + LINE * len(lines) + 8)


def _document(parts: Sequence[str], width: float, height: float, title: str) -> str:
    light = _style(_colours(":root {"))
    dark = _style(_colours(':root[data-theme="dark"] {'))
    fixed = (
        "text{font:11px system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif}"
        ".grid,.mark,.point,.line{fill:none}.line{stroke-width:1.5;stroke-linejoin:round}"
        ".mark{stroke-dasharray:4 3}.dashed{stroke-dasharray:5 3}.point{stroke-width:1.5}"
        ".interval{stroke-width:4;stroke-opacity:.5;stroke-linecap:round}"
    )
    size = f"{width:.0f} {height:.0f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(title)}">\n'
        f"<style>{fixed}{light}\n@media (prefers-color-scheme:dark){{{dark}}}</style>\n"
        f'<rect class="ground" width="100%" height="100%"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _style(colours: Mapping[str, str]) -> str:
    """Plain colours, no variables: programs that draw SVG know these."""
    rules = [
        f".ground{{fill:{colours['surface']}}}",
        f"text,.quiet{{fill:{colours['quiet']}}}.ink{{fill:{colours['ink']}}}",
        f".grid{{stroke:{colours['rule']}}}.mark{{stroke:{colours['ink']}}}",
        f".point{{stroke:{colours['quiet']}}}",
    ]
    for i in range(NUM_COLOURS):
        rules.append(f".line.c{i}{{stroke:{colours[f's{i}']}}}.dot.c{i}{{fill:{colours[f's{i}']}}}")
    return "".join(rules)


def _colours(selector: str) -> dict[str, str]:
    """The colours that a block of the style sheet names."""
    block = STYLE.partition(selector)[2].partition("}")[0]
    return dict(re.findall(r"--(\w+): (#\w+)", block))
