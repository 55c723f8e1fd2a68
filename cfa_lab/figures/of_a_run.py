"""The pictures of one run: which test images are shown, and the figures that show them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cfa_lab import figures
from cfa_lab.data.depth import Depth
from cfa_lab.data.images import read_image
from cfa_lab.data.samples import SampleTable
from cfa_lab.evaluation.evaluate import sample_mask
from cfa_lab.evaluation.maps import ScoredImage, full_map
from cfa_lab.evaluation.summary import Evaluation
from cfa_lab.evaluation.wrong import wrong_decisions
from cfa_lab.method.detector import Detector
from cfa_lab.records.figures import CASE_FIGURES, CURVES, SCORES, TRAINING, WRONG
from cfa_lab.records.history import ATTRACTION_AFTER, Row
from cfa_lab.tracking import Panel

COLOUR_RANGE = (0.005, 0.9995)
"""Quantiles of all test maps' values, labels unseen, that the run's one colour scale spans."""


def draw_figures(
    folder: Path,
    detector: Detector,
    result: Evaluation,
    table: SampleTable,
    *,
    input_size: tuple[int, int],
    depth: Depth,
    predictions: Sequence[dict[str, object]],
    history: Sequence[Row],
    sqrt_alpha: float | None,
    num_each: int,
) -> tuple[list[Panel], list[Path]]:
    """Draw a run's figures into `folder`; returns the panels for trackers, and the files.

    Cases are `num_each` worst false positives, worst misses and typical images; their test images
    are opened again here. All heat maps share one colour scale. Thresholds are marked where
    `result` has some. `num_each` of 0 draws nothing.
    """
    if not num_each:
        return [], []
    folder.mkdir(exist_ok=True)
    low, high = colour_range(result.images)
    set_on_normals = result.thresholds
    image_threshold, pixel_threshold = (
        (set_on_normals.image, set_on_normals.pixel) if set_on_normals else (None, None)
    )
    panels: list[Panel] = []
    files: list[Path] = []
    for group, indices in figures.choose_cases(predictions, num_each=num_each).items():
        if not indices:
            continue
        shown = [
            figures.render_panel(
                _case(detector, result.images[i], table, input_size, depth),
                group,
                low=low,
                high=high,
                threshold=pixel_threshold,
                with_peak=True,
            )
            for i in indices
        ]
        figure = CASE_FIGURES[group]
        path = folder / figure.file
        figures.draw_cases(
            shown,
            path,
            title=figure.title,
            low=low,
            high=high,
            image_threshold=image_threshold,
            pixel_threshold=pixel_threshold,
        )
        panels += shown
        files.append(path)
    if set_on_normals is not None:
        path = folder / WRONG.file
        wrong = wrong_decisions(result.images, result.looks, set_on_normals.image)
        by_kind: dict[str, list[dict[str, Any]]] = {"miss": [], "false alarm": []}
        for row in wrong:
            by_kind[row["what"]].append(row)
        shown = [
            figures.render_panel(
                _case(detector, result.images[row["index"]], table, input_size, depth),
                row["what"],
                low=low,
                high=high,
                threshold=pixel_threshold,
                with_peak=True,
            )
            for rows in by_kind.values()
            for row in rows[:num_each]
        ]
        figures.draw_cases(
            shown,
            path,
            title=_title_of_wrong(predictions, *map(len, by_kind.values()), most=num_each),
            low=low,
            high=high,
            image_threshold=image_threshold,
            pixel_threshold=pixel_threshold,
        )
        files.append(path)
    for path, draw in {
        folder / SCORES: lambda path: figures.draw_score_histogram(
            predictions, path, threshold=image_threshold
        ),
        folder / TRAINING: lambda path: _draw_training(history, path, sqrt_alpha),
        folder / CURVES: lambda path: figures.draw_curves(
            result.curves, path, told=result.metrics, marks=_operating_points(result)
        ),
    }.items():
        if path.name != TRAINING or history:
            draw(path)
            files.append(path)
    return panels, files


def _title_of_wrong(
    predictions: Sequence[dict[str, object]], num_missed: int, num_alarms: int, *, most: int
) -> str:
    num_defects = sum(row["label"] == 1 for row in predictions)
    few = f" (up to {most} shown)" if max(num_missed, num_alarms) > most else ""
    return (
        f"{WRONG.title}: {num_missed or 'none'} of {num_defects} defect images missed, "
        f"{num_alarms or 'none'} of {len(predictions) - num_defects} normal images called defect"
        f"{few}"
    )


def _draw_training(history: Sequence[Row], path: Path, sqrt_alpha: float | None) -> None:
    if ATTRACTION_AFTER in history[-1]:
        figures.draw_solution(history[-1], path)
    else:
        figures.draw_training(history, path, sqrt_alpha=sqrt_alpha)


def _case(
    detector: Detector,
    scored: ScoredImage,
    table: SampleTable,
    input_size: tuple[int, int],
    depth: Depth,
) -> figures.Case:
    sample = scored.sample
    return figures.Case(
        path=sample.path,
        label=sample.label,
        defect=sample.defect,
        score=scored.score,
        image=np.asarray(read_image(table.absolute(sample.path), depth)),
        mask=sample_mask(table, sample, scored.placement),
        heat=full_map(detector, scored, input_size),
    )


def _operating_points(result: Evaluation) -> dict[str, tuple[float, float]]:
    """Curve -> where on it the thresholds lie; only those whose both shares are known."""
    points: dict[str, tuple[float, float]] = {}
    for kind in ("image", "pixel"):
        false_alarms = result.metrics.get(f"threshold/{kind}_fpr")
        missed = result.metrics.get(f"threshold/{kind}_miss_rate")
        if false_alarms is not None and missed is not None:
            points[f"{kind}_roc"] = (false_alarms, 1 - missed)
    return points


def colour_range(images: Sequence[ScoredImage]) -> tuple[float, float]:
    """The map values at both ends of the one colour scale of a run."""
    if not images:
        return 0.0, 1.0
    values = [image.map_values for image in images if image.map_values is not None]
    if not values:  # read from a file that keeps patch scores only
        values = [image.patch_scores.numpy().ravel() for image in images]
    low, high = np.quantile(np.concatenate(values), COLOUR_RANGE)
    return float(low), float(high)
