"""Rows of settings with means and intervals, as SVG: in the page and in files of their own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from textwrap import wrap

from cfa_lab.report.charts.panels import NUM_COLOURS, short, span, ticks

LETTER = 6.4
"""Width of a letter, about: nothing measures text where the file is written."""
LINE = 14
MARGIN = 14
GAP = 16
LABEL_LETTERS = 46
PANEL = 156
AIR = 0.005
"""What may be shown beyond 0 and 100 %, so that marks there are whole."""
PIXELS_BETWEEN_TICKS = 52
PAGE_PANEL, PAGE_LETTERS = 560, 34
"""Width of the page's one panel, and letters of a label there."""


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


class DotRows:
    """Rows of settings beside panels of dots, in percent; `panel` is the width of one.

    `colours` numbers the settings' colours. Labels break after `letters` letters.
    """

    def __init__(
        self,
        labels: Sequence[str],
        panels: Sequence[DotPanel],
        *,
        colours: Mapping[str, int],
        panel: int = PANEL,
        letters: int = LABEL_LETTERS,
    ) -> None:
        self._texts = {label: wrap(label, letters, break_on_hyphens=False) for label in labels}
        self._panels, self._colours, self._panel = panels, colours, panel
        longest = max(len(line) for lines in self._texts.values() for line in lines)
        self._left = MARGIN + LETTER * longest + GAP
        self.width = self._left + len(panels) * (panel + GAP)

    def draw(self, top: float) -> tuple[list[str], float]:
        """The parts below `top`, and where they end."""
        parts: list[str] = []
        tops, y = {}, top + LINE + 8
        for label, lines in self._texts.items():
            tops[label] = y + (8 + LINE * len(lines)) / 2
            for i, line in enumerate(lines):
                parts.append(svg_text(MARGIN, y + LINE * (i + 1), line, css="ink"))
            y += 8 + LINE * len(lines)
        for i, panel in enumerate(self._panels):
            place = self._left + i * (self._panel + GAP)
            parts.append(self._dots(panel, tops, left=place, top=top, bottom=y))
        return parts, y + LINE

    def _dots(
        self,
        panel: DotPanel,
        tops: Mapping[str, float],
        *,
        left: float,
        top: float,
        bottom: float,
    ) -> str:
        marked = [] if panel.mark is None else [panel.mark]
        values = [v for d in panel.dots.values() for v in (d.mean, d.low, d.high, *d.points)]
        finite = [value for value in (*values, *marked) if math.isfinite(value)]
        low, high = span(min(finite), max(finite))
        if min(finite) >= 0 and max(finite) <= 1:  # a share: there is nothing beyond 100 %
            low, high = max(low, -AIR), min(high, 1 + AIR)

        def at(value: float) -> float:
            return left + (value - low) / (high - low) * self._panel

        parts = [svg_text(left + self._panel / 2, top + 6, panel.title, css="ink", anchor="middle")]
        for value in ticks(low, high, about=self._panel // PIXELS_BETWEEN_TICKS):
            parts.append(f'<path class="grid" d="M{at(value):.1f} {top + LINE:.1f}V{bottom:.1f}"/>')
            text = short(round(100 * value, 6))
            parts.append(svg_text(at(value), bottom + LINE, text, anchor="middle"))
        for value in marked:
            parts.append(f'<path class="mark" d="M{at(value):.1f} {top + LINE:.1f}V{bottom:.1f}"/>')
        for label, dot in panel.dots.items():
            y, colour = tops[label], f"c{self._colours[label] % NUM_COLOURS}"
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


def dot_rows(labels: Sequence[str], panel: DotPanel, *, colours: Mapping[str, int]) -> str:
    """One panel of dots for the page, whose style sheet gives it its colours; empty without any."""
    if not labels:
        return ""
    drawn = DotRows(labels, [panel], colours=colours, panel=PAGE_PANEL, letters=PAGE_LETTERS)
    parts, bottom = drawn.draw(6.0)
    size = f"{drawn.width:.0f} {bottom + MARGIN:.0f}"
    return (
        f'<div class="sheet"><div class="scroll wide" tabindex="0">'
        f'<svg class="dots" viewBox="0 0 {size}" style="width:{drawn.width:.0f}px" role="group" '
        f'aria-label="{escape(panel.title)}">'
        f"{''.join(parts)}</svg></div></div>"
    )


def svg_text(x: float, y: float, text: str, *, css: str = "quiet", anchor: str = "start") -> str:
    """One line of text, its baseline at y."""
    return (
        f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
