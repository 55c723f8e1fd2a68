"""Charts as SVG and HTML text: colours come from the page's style sheet, sizes from their place."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

NUM_COLOURS = 8
"""Colours of settings in the style sheet; further ones repeat them dashed."""

WIDTH, HEIGHT = 320, 190
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 30
ROOM_FOR_NAMES = 0.1
"""Above all lines, for the names of marks: a share of the axis."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart; `colour` numbers its setting, `title` is what hovering tells."""

    x: Sequence[float]
    y: Sequence[float]
    colour: int
    title: str


def colour_class(number: int) -> str:
    """The style sheet's class of a setting's colour."""
    return f"c{number % NUM_COLOURS}" + (" dashed" if number // NUM_COLOURS % 2 else "")


def line_chart(lines: Sequence[Line], *, title: str, **settings: Any) -> str:
    """A figure of the page that holds a `line_panel`; empty without values."""
    panel = line_panel(lines, **settings)
    if not panel:
        return ""
    return (
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{panel}</svg></figure>"
    )


def line_panel(
    lines: Sequence[Line],
    *,
    x_label: str,
    marks: Sequence[tuple[float, str]] = (),
    marks_on_x: bool = False,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """Lines over a common pair of axes, as SVG of `WIDTH` x `HEIGHT`; empty without values.

    `marks` are named values drawn across the chart. `low` and `high` fix the ends of the y axis,
    which else follow the values.
    """
    xs = [x for line in lines for x in line.x if math.isfinite(x)]
    ys = [y for line in lines for y in line.y if math.isfinite(y)]
    if not xs or not ys:
        return ""
    (xs if marks_on_x else ys).extend(value for value, _ in marks)
    x_low, x_high = span(min(xs), max(xs))
    y_low, y_high = span(min(ys) if low is None else low, max(ys) if high is None else high)
    if marks_on_x:
        y_high += ROOM_FOR_NAMES * (y_high - y_low)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        up = (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return LEFT + across, HEIGHT - BOTTOM - up

    parts = []
    for value in ticks(y_low, y_high):
        y = place(x_low, value)[1]
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text x="{LEFT - 5}" y="{y + 3:.1f}" text-anchor="end">{short(value)}</text>'
        )
    for value in ticks(x_low, x_high):
        x = place(value, y_low)[0]
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 13}" text-anchor="middle">'
            f"{short(value)}</text>"
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )
    for line in lines:
        points = " ".join(
            f"{x:.1f},{y:.1f}"
            for x, y in (place(*p) for p in zip(line.x, line.y, strict=True) if _finite(p))
        )
        parts.append(
            f'<polyline class="line {colour_class(line.colour)}" points="{points}">'
            f"<title>{escape(line.title)}</title></polyline>"
        )
    for value, name in marks:
        x, y = place(value if marks_on_x else x_low, y_low if marks_on_x else value)
        path = (
            f"M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"
            if marks_on_x
            else f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}"
        )
        at = (x + 3, TOP + 8) if marks_on_x else (WIDTH - RIGHT - 2, y - 3)
        anchor = "start" if marks_on_x and x < WIDTH * 0.7 else "end"
        parts.append(
            f'<path class="mark" d="{path}"/><text x="{at[0]:.1f}" y="{at[1]:.1f}" '
            f'text-anchor="{anchor}">{escape(name)}</text>'
        )
    return "".join(parts)


def parallel_coordinates(
    axes: Sequence[str], rows: Sequence[Mapping[str, Any]], *, title: str
) -> str:
    """Lines through one axis a key; a row has `label`, `shade` 0..1 and `values`, one an axis.

    Axes of numbers alone are to scale, others list their values.
    """
    from cfa_lab.report.settings import show

    step, height, top, bottom = 150, 260, 34, 14
    width = step * (len(axes) - 1) + 180
    columns = [[row["values"][i] for row in rows] for i in range(len(axes))]
    scales, parts = [], []
    for i, (name, column) in enumerate(zip(axes, columns, strict=True)):
        x = 90 + i * step
        scale, labels = _axis_scale(column, show)
        scales.append(scale)
        parts.append(f'<path class="axis" d="M{x} {top}V{height - bottom}"/>')
        parts.append(
            f'<text class="head" x="{x}" y="16" text-anchor="middle">{escape(name)}</text>'
        )
        for place, text in labels:
            y = height - bottom - place * (height - top - bottom)
            parts.append(f'<text x="{x + 5}" y="{y + 3:.1f}">{escape(text[:22])}</text>')
    lines = []
    for row in rows:
        points = " ".join(
            f"{90 + i * step},{height - bottom - scales[i](v) * (height - top - bottom):.1f}"
            for i, v in enumerate(row["values"])
        )
        lines.append(
            f'<polyline class="parallel" style="--v:{row["shade"]:.3f}" points="{points}">'
            f"<title>{escape(row['label'])}</title></polyline>"
        )
    return (
        f'<div class="sheet"><div class="scroll wide" tabindex="0"><svg class="coordinates" '
        f'viewBox="0 0 {width} {height}" '
        f'style="width:{width}px" role="img" aria-label="{escape(title)}">'
        f"{''.join(lines)}{''.join(parts)}</svg></div></div>"
    )


def _axis_scale(column: Sequence[Any], show: Any) -> tuple[Any, list[tuple[float, str]]]:
    """Value -> place 0..1 on an axis, and its labels."""
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in column)
    if is_number:
        low, high = min(column), max(column)
        if low > 0 and high > 50 * low:  # radii and learning rates: in powers
            bottom, extent = math.log(low), math.log(high) - math.log(low)
            scale = lambda value: (math.log(value) - bottom) / extent  # noqa: E731
        else:
            bottom, extent = low, high - low or 1.0
            scale = lambda value: (value - bottom) / extent  # noqa: E731
        distinct = sorted(set(column))
        shown = distinct if len(distinct) <= 6 else [low, high]
        return scale, [(scale(value), f"{value:.4g}") for value in shown]
    names = sorted({show(value) for value in column})
    places = {name: i / max(1, len(names) - 1) for i, name in enumerate(names)}
    shown_names = names if len(names) <= 12 else [names[0], names[-1]]
    return (lambda value: places[show(value)]), [(places[name], name) for name in shown_names]


def span(low: float, high: float) -> tuple[float, float]:
    """A range with a little air, never empty."""
    air = 0.04 * (high - low) or abs(high) * 0.05 or 0.5
    return low - air if low else low, high + air


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values within a range."""
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def short(value: float) -> str:
    """A number as an axis shows it."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{sign}"
    return f"{value:.3g}"


def _finite(point: tuple[float, float]) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])
