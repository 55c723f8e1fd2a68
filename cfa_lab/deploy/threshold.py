"""`python -m cfa_lab threshold`: set a run's thresholds from new images of normal parts."""

import argparse
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

from cfa_lab.deploy.arguments import add_model, open_model
from cfa_lab.deploy.intake import WORKERS, batches
from cfa_lab.deploy.load import EXPORTED, model_folder
from cfa_lab.deploy.run_data import trained_on
from cfa_lab.deploy.scan import Result, scored_batches
from cfa_lab.deploy.sources import named_images
from cfa_lab.errors import Parser, UserError
from cfa_lab.metrics.decisions import exact_interval
from cfa_lab.metrics.thresholds import (
    carried_quantile,
    fit_threshold,
    images_needed,
    too_few_images,
)
from cfa_lab.progress import each, show_progress
from cfa_lab.training.description import ModelThresholds
from cfa_lab.training.model_files import write_description
from cfa_lab.vocabulary import THRESHOLD_RULES, ThresholdRule, within

MAX_PIXELS = 20_000_000
"""Map values kept for the pixel threshold (80 MB); more are thinned evenly, image by image."""
CONFIDENCE = 0.95
NUM_FOLDS = 50


def main(arguments: list[str]) -> None:
    """Score normal images, set both thresholds, and write them into the run's model."""
    options = _parser().parse_args(arguments)
    if options.run.suffix.lower() in EXPORTED:
        raise UserError(
            f"{options.run} is an exported file, whose thresholds do not change; set the run's and "
            "export it again, or give predict --threshold"
        )
    within("evaluation.quantile", options.quantile)
    within("evaluation.num_sd", options.num_sd)
    folder = model_folder(options.run.expanduser())
    runtime = open_model(options)
    paths = list(named_images(options.images))
    if known := len(trained_on(folder, paths)):
        print(
            f"warning          {known} of these {len(paths)} images trained this model, and new "
            "parts will score higher: give others, or run again with evaluation.folds=5"
        )
    with show_progress():
        taken = batches(
            paths,
            runtime.description.image,
            batch_size=runtime.batch_size,
            workers=WORKERS,
        )
        results = (one for batch in scored_batches(runtime, taken) for one in batch)
        scores, pixels = _scores(
            each(results, "scoring", len(paths)), most=max(1, MAX_PIXELS // len(paths))
        )
    rule: ThresholdRule = options.rule
    image, pixel = (
        fit_threshold(values, rule, quantile=options.quantile, num_sd=options.num_sd)
        for values in (scores, pixels)
    )
    origin = {
        "rule": rule,
        "parameter": options.num_sd if rule == "mean_sd" else options.quantile,
        "num_images": len(scores),
        "from": "images given to the command threshold",
        "date": date.today().isoformat(),
    }
    before = runtime.description.thresholds
    chosen = ModelThresholds(image=image, pixel=pixel, origin=origin)
    write_description(folder, replace(runtime.description, thresholds=chosen))
    _tell(scores, chosen, before, folder, options)


def false_alarm_interval(num_alarms: int, num_images: int) -> tuple[float, float]:
    """A 95 % interval of a false-alarm rate, exact (Clopper and Pearson)."""
    return exact_interval(num_alarms, num_images, CONFIDENCE)


def left_out_alarms(scores: np.ndarray, rule: str, *, quantile: float, num_sd: float) -> int:
    """How many normal images would be called defects by a threshold that others set.

    Each image is judged by a threshold it had no part in (in up to `NUM_FOLDS` parts), so the count
    is honest where that on the images themselves would flatter.
    """
    alarms = 0
    for fold in range(min(NUM_FOLDS, len(scores))):
        own = np.arange(len(scores)) % NUM_FOLDS == fold
        threshold = fit_threshold(scores[~own], rule, quantile=quantile, num_sd=num_sd)
        alarms += int((scores[own] >= threshold).sum())
    return alarms


def _scores(results: Iterable[Result], *, most: int) -> tuple[np.ndarray, np.ndarray]:
    """All scores, and at most `most` map values of each image."""
    scores: list[float] = []
    pixels: list[np.ndarray] = []
    for _, scored, _, error in results:
        if scored is None:
            raise UserError(f"{error}; no threshold was changed")
        scores.append(scored.score)
        values = scored.window_map.ravel()
        pixels.append(values[:: -(-len(values) // most)])
    return np.array(scores), np.concatenate(pixels)


def _tell(
    scores: np.ndarray,
    chosen: ModelThresholds,
    before: ModelThresholds | None,
    folder: Path,
    options: argparse.Namespace,
) -> None:
    num_images = len(scores)
    for kind in ("image", "pixel"):
        was = "" if before is None else f"  (was {getattr(before, kind):.6g})"
        print(f"{kind} threshold  {getattr(chosen, kind):.6g}{was}")
    if num_images > 2:
        alarms = left_out_alarms(
            scores, options.rule, quantile=options.quantile, num_sd=options.num_sd
        )
        low, high = false_alarm_interval(alarms, num_images)
        print(
            f"false alarms     {alarms} of {num_images} normal images, each judged without itself: "
            f"{alarms / num_images:.2%}, 95 % interval {low:.2%} to {high:.2%}"
        )
    if (doubt := too_few_images(num_images, options.rule, options.quantile)) is not None:
        lower = carried_quantile(num_images)
        fitting = f", or --quantile {lower:g}, which these carry" if lower else ""
        print(f"warning          {doubt}; give {images_needed(options.quantile)} images{fitting}")
    print(f"written to       {folder}")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m cfa_lab threshold",
        description="Set a run's thresholds from new images of normal parts.",
    )
    add_model(parser)
    parser.add_argument(
        "images", nargs="+", help="files, folders (at any depth), globs, or - for paths on stdin"
    )
    parser.add_argument(
        "--rule", choices=THRESHOLD_RULES, default="quantile", help="default: quantile"
    )
    parser.add_argument(
        "--quantile",
        type=float,
        default=0.995,
        help="share of normal images, and pixels, meant to stay below; default: 0.995",
    )
    parser.add_argument(
        "--num-sd", type=float, default=3.0, metavar="K", help="K of mean + K sd; default: 3"
    )
    return parser
