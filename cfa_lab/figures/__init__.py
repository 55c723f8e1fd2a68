"""Figures of a run: its worst and typical images, score histogram, training and curves.

Each function that draws writes one file and leaves no state behind; the suffix of the path chooses
the format (png or pdf; charts also svg).
"""

from cfa_lab.figures.cases import Case, choose_cases
from cfa_lab.figures.charts import (
    draw_curves,
    draw_score_histogram,
    draw_solution,
    draw_training,
)
from cfa_lab.figures.gallery import draw_cases
from cfa_lab.figures.panels import render_panel

__all__ = [
    "Case",
    "choose_cases",
    "draw_cases",
    "draw_curves",
    "draw_score_histogram",
    "draw_solution",
    "draw_training",
    "render_panel",
]
