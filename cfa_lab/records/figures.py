"""A run's figures: what their files are called, and which test images some of them show."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CaseFigure:
    """The figure that shows a group of cases: its file among a run's figures, and its title."""

    file: str
    title: str


FALSE_POSITIVE, MISS, TYPICAL = "false positive", "miss", "typical"
CASE_FIGURES = {
    FALSE_POSITIVE: CaseFigure("false_positives.png", "Normal images with the highest scores"),
    MISS: CaseFigure("misses.png", "Defect images with the lowest scores"),
    TYPICAL: CaseFigure("typical.png", "A spread of the other test images, by score"),
}
"""By group of cases, in the order in which they are chosen."""

WRONG = CaseFigure("wrong.png", "Wrong decisions")
"""Drawn where a threshold was set, its title with the counts."""

SCORES, TRAINING, CURVES = "scores.png", "training.png", "curves.png"

PICTURE_BOXES = "cfa_lab:pictures"
"""The text in a figure's PNG file that says which boxes of it are pictures, as JSON.

Left, top, right and bottom of each, in pixels; all else is words on a white ground.
"""
