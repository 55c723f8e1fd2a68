"""Results in the shapes that W&B shows; each function is handed the module `wandb`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from cfa_lab.records.predictions import PREDICTION_COLUMNS
from cfa_lab.tracking.base import Curve, Panel

FILE_TYPE = "jpg"
"""wandb takes a second and a half to write a run's panels as PNG, longer than all figures take."""
_MAX_CURVE_POINTS = 500
_CLASS_NAMES = {0: "normal", 1: "defect"}


def predictions_table(wandb: Any, predictions: Sequence[Mapping[str, object]]) -> Any:
    """A `wandb.Table` with one row per test image."""
    rows = [[row.get(column) for column in PREDICTION_COLUMNS] for row in predictions]
    return wandb.Table(columns=list(PREDICTION_COLUMNS), data=rows)


def panels_table(wandb: Any, panels: Sequence[Panel]) -> Any:
    """A `wandb.Table` of pictures; the ground truth can be switched on over the image."""
    columns = ["path", "label", "defect", "score", "group", "image", "heat map", "overlay"]
    table = wandb.Table(columns=columns)
    for panel in panels:
        masks = None
        if panel.mask is not None:
            pixels = panel.mask.astype(np.uint8)
            masks = {"ground truth": {"mask_data": pixels, "class_labels": _CLASS_NAMES}}
        table.add_data(
            *(panel.path, panel.label, panel.defect, panel.score, panel.group),
            wandb.Image(Image.fromarray(panel.image), masks=masks, file_type=FILE_TYPE),
            wandb.Image(Image.fromarray(panel.heat), file_type=FILE_TYPE),
            wandb.Image(Image.fromarray(panel.overlay), file_type=FILE_TYPE),
        )
    return table


def curve_chart(wandb: Any, curve: Curve) -> Any:
    """A line chart of at most 500 points, which a browser draws at once."""
    chosen = points_along(curve, _MAX_CURVE_POINTS)
    rows = np.column_stack([curve.x[chosen], curve.y[chosen]]).astype(float).tolist()
    table = wandb.Table(columns=[curve.x_label, curve.y_label], data=rows)
    return wandb.plot.line(table, curve.x_label, curve.y_label, title=curve.title)


def points_along(curve: Curve, num_points: int) -> np.ndarray:
    """Indices of at most `num_points` points, about evenly spaced along the line, with its ends."""
    if len(curve.x) <= num_points:
        return np.arange(len(curve.x))
    steps = [np.abs(np.diff(values)) / (np.ptp(values) or 1) for values in (curve.x, curve.y)]
    length = np.concatenate([[0.0], np.cumsum(steps[0] + steps[1])])
    targets = np.linspace(0.0, length[-1], num_points)
    return np.unique(np.append(np.searchsorted(length[:-1], targets[:-1]), len(length) - 1))
