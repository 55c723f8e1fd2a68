"""Images beside what the model made of them, a row each."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cfa_lab.figures.page import Page
from cfa_lab.figures.panels import PEAK_COLOUR, THRESHOLD_COLOUR, TRUTH_COLOUR, colour_map
from cfa_lab.figures.style import DEFECT, DOTS_PER_INCH, HEADING, INK, QUIET, SMALL, TEXT
from cfa_lab.tracking.base import Panel

COLUMNS = ("Image", "Ground truth", "Anomaly map", "Overlay")

# All lengths in inches.
MARGIN, GAP, CAPTION, CELL = 0.15, 0.06, 1.3, 1.6
HEAD, FOOT, BAR_GAP, BAR, BAR_LABELS = 0.6, 0.3, 0.12, 0.12, 0.45
MAX_BAR_HEIGHT = 3.3
BAR_LEFT = MARGIN + CAPTION + len(COLUMNS) * (CELL + GAP) + BAR_GAP
LINE, EDGE = 1 / 80, 1 / 160
"""Of a mark: its half width, and the dark edge on each side."""


def draw_cases(
    panels: Sequence[Panel],
    path: Path,
    *,
    title: str,
    low: float,
    high: float,
    image_threshold: float | None = None,
    pixel_threshold: float | None = None,
) -> None:
    """Write the page of `gallery`."""
    gallery(
        panels,
        title=title,
        low=low,
        high=high,
        image_threshold=image_threshold,
        pixel_threshold=pixel_threshold,
    ).save(path)


def gallery(
    panels: Sequence[Panel],
    *,
    title: str,
    low: float,
    high: float,
    image_threshold: float | None = None,
    pixel_threshold: float | None = None,
) -> Page:
    """A row per panel (caption, image, ground truth, anomaly map, overlay) and a colour bar.

    `low`, `high` and `pixel_threshold` are those that the panels were rendered with; with an
    `image_threshold` each caption says what the image is called, wrong decisions in colour. Six to
    eight rows fit a printed page; there may be more, or none.
    """
    heights = [CELL * np.clip(p.image.shape[0] / p.image.shape[1], 0.4, 1.35) for p in panels]
    body = sum(heights) + GAP * len(heights)
    page = Page(BAR_LEFT + BAR + BAR_LABELS + MARGIN, HEAD + body + FOOT, DOTS_PER_INCH)
    page.write(MARGIN, 0.28, title, size=HEADING, bold=True)
    if not panels:
        page.write(MARGIN, HEAD, "No image belongs to this group.", size=TEXT, colour=QUIET)
        return page
    for column, name in enumerate(COLUMNS):
        page.write(_left_of(column) + CELL / 2, HEAD - 0.07, name, size=TEXT, anchor="m")
    tops = HEAD + np.cumsum([0, *heights[:-1]]) + GAP * np.arange(len(panels))
    for panel, top, height in zip(panels, tops, heights, strict=True):
        _caption(page, top, panel, image_threshold)
        _pictures(page, top, height, panel)
    height = min(body - GAP, MAX_BAR_HEIGHT)
    _bar(page, height, low=low, high=high, threshold=pixel_threshold)
    _key(page, HEAD + body + 0.16, panels, image_threshold, pixel_threshold)
    return page


def _left_of(column: int) -> float:
    return MARGIN + CAPTION + column * (CELL + GAP)


def _pictures(page: Page, top: float, height: float, panel: Panel) -> None:
    if panel.mask is None or _is_blank(panel):
        truth = np.full(panel.image.shape, 227, dtype=np.uint8)
    else:
        truth = np.where(panel.mask[..., None], 255, 26).astype(np.uint8).repeat(3, axis=2)
    for column, picture in enumerate((panel.image, truth, panel.heat, panel.overlay)):
        plain = picture is truth and _is_blank(panel)
        page.paste(picture, _left_of(column), top, CELL, height, is_ground=plain)
    if _is_blank(panel):
        text = "no mask" if panel.label else "no defect"
        middle = _left_of(COLUMNS.index("Ground truth")) + CELL / 2
        page.write(middle, top + height / 2 + 0.03, text, size=TEXT, colour=QUIET, anchor="m")


def _is_blank(panel: Panel) -> bool:
    """Whether there is no ground truth to draw: black would look as if something had been lost."""
    return panel.mask is None or not (panel.label or panel.mask.any())


def _caption(page: Page, top: float, panel: Panel, image_threshold: float | None) -> None:
    folder, _, name = panel.path.rpartition("/")
    width = CAPTION - 2 * GAP
    page.write(MARGIN, top + 0.1, panel.defect, size=TEXT, bold=True, width=width)
    score = f"score {panel.score:.4g}"
    page.write(MARGIN, top + 0.26, score, size=TEXT, width=width)
    below = top + 0.41
    if image_threshold is not None:
        decision = int(panel.score >= image_threshold)
        text = ("called normal", "called defect")[decision]
        colour = INK if decision == panel.label else DEFECT
        page.write(MARGIN, below, text, size=TEXT, colour=colour, width=width)
        below += 0.15
    page.write(MARGIN, below, name, size=SMALL, colour=QUIET, width=width)
    page.write(MARGIN, below + 0.13, folder, size=SMALL, colour=QUIET, width=width)


def _bar(page: Page, height: float, *, low: float, high: float, threshold: float | None) -> None:
    from matplotlib.ticker import MaxNLocator

    page.write(BAR_LEFT, HEAD - 0.07, "Score", size=SMALL)
    for end, at_end in (("and more", HEAD + 0.08), ("and less", HEAD + height)):
        page.write(BAR_LEFT + BAR + 0.06, at_end + 0.12, end, size=SMALL - 1, colour=QUIET)
    ramp = np.linspace(1, 0, page.pixels(height))[:, None]
    gradient = colour_map(ramp, low=0, high=1)
    page.paste(gradient.repeat(page.pixels(BAR), axis=1), BAR_LEFT, HEAD, BAR, height)
    ticks = np.array(MaxNLocator(5).tick_values(low, high) if high > low else [low])
    extent = high - low if high > low else 1.0

    def at(value: float) -> float:
        return HEAD + height * (1 - (value - low) / extent)

    for tick in ticks[(ticks >= low) & (ticks <= high)]:
        page.fill(BAR_LEFT + BAR, at(tick), BAR_LEFT + BAR + 0.03, at(tick), QUIET)
        page.write(BAR_LEFT + BAR + 0.06, at(tick) + 0.035, f"{tick:g}", size=SMALL)
    if threshold is not None and low <= threshold <= high:
        _mark(page, BAR_LEFT, at(threshold), BAR, THRESHOLD_COLOUR)


def _mark(page: Page, left: float, middle: float, width: float, colour: str) -> None:
    """A short thick line in a colour with a dark edge, as outlines have it."""
    far = LINE + EDGE
    page.fill(left, middle - far, left + width, middle + far, "black")
    page.fill(left, middle - LINE, left + width, middle + LINE, colour)


def _key(
    page: Page,
    baseline: float,
    panels: Sequence[Panel],
    image_threshold: float | None,
    pixel_threshold: float | None,
) -> None:
    entries = {}
    if any(not _is_blank(panel) for panel in panels):
        entries["Ground truth"] = TRUTH_COLOUR
    entries["Highest score"] = PEAK_COLOUR
    if pixel_threshold is not None:
        entries[f"Scores from the pixel threshold {pixel_threshold:.4g}"] = THRESHOLD_COLOUR
    left = _left_of(0)
    for text, colour in entries.items():
        _mark(page, left, baseline - 0.035, 0.2, colour)
        left = page.write(left + 0.27, baseline, text, size=SMALL) + 0.25
    if image_threshold is not None:
        text = f"Called defect from a score of {image_threshold:.4g}"
        page.write(left, baseline, text, size=SMALL)
