"""Thresholds from all training images: each is scored by a model that was fitted without it."""

import logging
from pathlib import Path

import numpy as np

from cfa_lab.config import Config
from cfa_lab.data.doubts import named
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.data.twins import contents
from cfa_lab.errors import UserError
from cfa_lab.evaluation.maps import score_images
from cfa_lab.evaluation.thresholds import Thresholds, fit_thresholds
from cfa_lab.features.stream import SomeImages
from cfa_lab.progress import phase
from cfa_lab.run.prepare import Preparation
from cfa_lab.training.fit import detector_of, new_fit, train
from cfa_lab.training.state import Observer

log = logging.getLogger(__name__)

MAX_PIXELS = 20_000_000
"""Map values kept for the pixel threshold (80 MB); more are thinned evenly, image by image."""


def cross_fitted_thresholds(config: Config, prepared: Preparation) -> Thresholds:
    """Thresholds from the scores of all training images, in `evaluation.folds` parts.

    The model that is used was fitted to more images than those that score here, so its own scores
    of new normal images are, if anything, lower: the threshold errs to the side of fewer alarms.
    """
    values = config.evaluation
    table = _with_twins_together(prepared.table, workers=config.features.workers)
    parts = folds_of(table.train, values.folds, seed=config.dataset.subset_seed)
    most = max(1, MAX_PIXELS // len(table.train))
    paths = [table.absolute(sample.path) for sample in table.train]
    levels = prepared.extractor.collect(paths)  # once, for all parts
    inputs = prepared.extractor.sources(paths)
    images = [source if isinstance(source, Path) else source.path for source in inputs]
    scores: list[float] = []
    pixels: list[np.ndarray] = []
    with phase("cross-fitting", len(parts), "parts") as shown:
        for part in parts:
            own = {table.absolute(sample.path) for sample in part}
            rest = np.array([i for i, image in enumerate(images) if image not in own])
            fit = new_fit(
                [SomeImages(level, rest) for level in levels],
                config,
                pooled=True,
                seed=config.seed,
                device=str(prepared.device),
                dimension_factor=config.backbone.dimension_factor,
            )
            train(fit, Observer())
            for scored, window_map in score_images(
                detector_of(fit), prepared.extractor, table, part
            ):
                scores.append(scored.score)
                flat = window_map.cpu().numpy().ravel()
                pixels.append(flat[:: -(-len(flat) // most)])
            shown.advance()
    return fit_thresholds(
        scores, pixels, rule=values.threshold, quantile=values.quantile, num_sd=values.num_sd
    )


def _with_twins_together(table: SampleTable, *, workers: int) -> SampleTable:
    """The same table with copies of an image in one group: one must not train what judges another.

    Says so where there are any.
    """
    paths = [sample.path for sample in table.train]
    found = contents([table.absolute(path) for path in paths], workers=workers)
    grouped = table.with_twins_grouped(dict(zip(paths, found, strict=True)))
    if twins := grouped.twins[len(table.twins) :]:
        pairs = [f"{first} = {second}" for first, second in twins]
        log.warning(
            "%d training images are stored again, and twins were put into one part: %s; delete one "
            "of each",
            *(len(twins), named(pairs)),
        )
    return grouped


def folds_of(samples: tuple[Sample, ...], folds: int, *, seed: int) -> list[list[Sample]]:
    """The images in at most `folds` parts of about equal size, groups whole, drawn by `seed`.

    As many parts as groups is leave-one-out. Raises UserError where there is one group only.
    """
    groups = sorted({sample.group or sample.path for sample in samples})
    num_parts = min(folds, len(groups))
    if num_parts < 2:
        raise UserError(
            f"evaluation.folds={folds} needs two training images or groups; there is {len(groups)}"
        )
    order = np.random.default_rng(seed).permutation(len(groups))
    part_of = {groups[i]: place % num_parts for place, i in enumerate(order)}
    parts: list[list[Sample]] = [[] for _ in range(num_parts)]
    for sample in samples:
        parts[part_of[sample.group or sample.path]].append(sample)
    return parts
