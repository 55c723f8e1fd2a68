"""Plots as SVG files of their own, readable on light and dark grounds: no page, no script."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from textwrap import wrap

from cfa_lab.report.charts.panels import (
    HEIGHT,
    NUM_COLOURS,
    WIDTH,
    colour_class,
    short,
    span,
    ticks,
)

LETTER = 6.4
"""Width of a letter, about: nothing measures text where the file is written."""
LINE = 14
MARGIN = 14
LABEL_LETTERS = 46
PANEL, GAP = 156, 16
GRID_COLUMNS = 3

STYLE = (Path(__file__).parents[1] / "page" / "assets" / "report.css").read_text(encoding="utf-8")
"""The page's style sheet, whose colours these files share."""


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A mean, its interval (NaN for none) and single values, drawn small; shares of 1."""

    mean: float
    low: float = math.nan
    high: float = math.nan
    points: Sequence[float] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class DotPanel:
    """One column of dots: setting -> dot, and a value to draw a line at."""

    title: str
    dots: Mapping[str, Dot]
    mark: float | None = None


def dots_svg(
    labels: Sequence[str], panels: Sequence[DotPanel], *, title: str, colours: Mapping[str, int]
) -> str:
    """Rows of settings, panels side by side, in percent."""
    texts = {label: wrap(label, LABEL_LETTERS, break_on_hyphens=False) for label in labels}
    left = MARGIN + LETTER * max(len(line) for lines in texts.values() for line in lines) + GAP
    width = left + len(panels) * (PANEL + GAP)
    parts, top = _caption(title, width)
    tops, y = {}, top + LINE + 8
    for label, lines in texts.items():
        tops[label] = y + (8 + LINE * len(lines)) / 2
        for i, line in enumerate(lines):
            parts.append(_text(MARGIN, y + LINE * (i + 1), line, css="ink"))
        y += 8 + LINE * len(lines)
    for i, panel in enumerate(panels):
        place = left + i * (PANEL + GAP)
        parts.append(_dots(panel, tops, left=place, top=top, bottom=y, colours=colours))
    return _document(parts, width, y + LINE + MARGIN, title)


def _dots(
    panel: DotPanel,
    tops: Mapping[str, float],
    *,
    left: float,
    top: float,
    bottom: float,
    colours: Mapping[str, int],
) -> str:
    marked = [] if panel.mark is None else [panel.mark]
    values = [v for d in panel.dots.values() for v in (d.mean, d.low, d.high, *d.points)]
    finite = [value for value in (*values, *marked) if math.isfinite(value)]
    low, high = span(min(finite), max(finite))

    def at(value: float) -> float:
        return left + (value - low) / (high - low) * PANEL

    parts = [_text(left + PANEL / 2, top + 6, panel.title, css="ink", anchor="middle")]
    for value in ticks(low, high, about=3):
        parts.append(f'<path class="grid" d="M{at(value):.1f} {top + LINE:.1f}V{bottom:.1f}"/>')
        text = short(round(100 * value, 6))
        parts.append(_text(at(value), bottom + LINE, text, anchor="middle"))
    for value in marked:
        parts.append(f'<path class="mark" d="M{at(value):.1f} {top + LINE:.1f}V{bottom:.1f}"/>')
    for label, dot in panel.dots.items():
        y, colour = tops[label], f"c{colours[label] % NUM_COLOURS}"
        told = f"{label}: {100 * dot.mean:.2f}"
        parts += [f'<path class="point" d="M{at(v):.1f} {y - 4:.1f}v8"/>' for v in dot.points]
        if math.isfinite(dot.low):
            told += f" [{100 * dot.low:.2f}, {100 * dot.high:.2f}]"
            path = f"M{at(dot.low):.1f} {y:.1f}H{at(dot.high):.1f}"
            parts.append(f'<path class="interval line {colour}" d="{path}"/>')
        parts.append(
            f'<circle class="dot {colour}" cx="{at(dot.mean):.1f}" cy="{y:.1f}" r="4.5">'
            f"<title>{escape(told)}</title></circle>"
        )
    return "".join(parts)


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
        parts.append(_text(x + 24, y + 8, label, css="ink"))
        x += needed
    y += LINE + 2
    for i, (name, panel) in enumerate(panels.items()):
        row, column = divmod(i, columns)
        left, top = MARGIN + column * (WIDTH + GAP), y + 8 + row * (HEIGHT + LINE + GAP)
        parts.append(_text(left, top + LINE, name, css="ink"))
        place = f'x="{left}" y="{top + LINE + 4:.1f}" width="{WIDTH}" height="{HEIGHT}"'
        parts.append(f"<svg {place}>{panel}</svg>")
    rows = math.ceil(len(panels) / columns)
    return _document(parts, width, y + 8 + rows * (HEIGHT + LINE + GAP) + MARGIN, title)


def _caption(title: str, width: float) -> tuple[list[str], float]:
    """The title in as many lines as it needs, and where the rest begins."""
    lines = wrap(title, int((width - 2 * MARGIN) / LETTER))
    parts = [_text(MARGIN, MARGIN + LINE * i + 6, line) for i, line in enumerate(lines)]
    return parts, float(MARGIN + LINE * len(lines) + 8)


def _text(x: float, y: float, text: str, *, css: str = "quiet", anchor: str = "start") -> str:
    return (
        f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


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
