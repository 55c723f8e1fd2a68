"""The descriptor solved for in one pass over the training images, instead of by epochs of steps."""

import logging
import math
from operator import attrgetter

import numpy as np
import torch

from cfa_lab.config import Settings, load_settings
from cfa_lab.errors import UserError
from cfa_lab.method.closed_form import Sums, for_shifted, no_sums, shift_of, shifted, solve, sums_of
from cfa_lab.method.loss import HypersphereLoss
from cfa_lab.method.pyramid import take
from cfa_lab.progress import phase
from cfa_lab.records.history import ATTRACTION_AFTER, HISTORY_COLUMNS, Row
from cfa_lab.training.parts import make_step
from cfa_lab.training.state import Fit, Observer
from cfa_lab.vocabulary import WITHOUT_PART

log = logging.getLogger(__name__)

GROUP = 4
"""Images that pass side by side; not `trainer.batch_size`, on which no bit may depend."""

BY_PRESETS = ("trainer.drop_last", "trainer.precision")
"""Set by presets for AdamW: that they differ is nobody's wish."""


def say_what_has_no_part(settings: Settings) -> None:
    """Warn, in one line, of settings that someone changed and that a solution does not look at."""
    usual = load_settings("lab")
    keys = [key for key in WITHOUT_PART["closed_form"] if key not in BY_PRESETS]
    values = {key: attrgetter(key)(settings) for key in keys}
    changed = [f"{key}={v}" for key, v in values.items() if v != attrgetter(key)(usual)]
    if changed and settings.trainer.epochs:
        log.warning(
            "optimizer=closed_form takes one pass and has no part for %s; choose optimizer=adamw "
            "to train by steps",
            " ".join(changed),
        )


def solve_fit(fit: Fit, observer: Observer) -> list[Row]:
    """Solve for the descriptor with `optimizer.time`; returns the one line of the history.

    Goes on after `fit.next_image` images; a fit that is solved already stays as it is. Images are
    taken in the order they stand in, so nothing depends on seed or batches. Raises
    UserError where features are not finite.
    """
    if fit.next_epoch or not fit.settings.trainer.epochs:
        return []
    with phase("solving"):
        return _solve(fit, observer)


def _solve(fit: Fit, observer: Observer) -> list[Row]:
    values, sums = fit.settings, _sums(fit, observer)
    before = float(sums.attraction / sums.num_patches)
    if not (math.isfinite(before) and sums.products.isfinite().all()):
        raise UserError(
            f"the descriptor cannot be solved for: the mean attraction is {before}; features may "
            "hold NaN or infinity (features.dtype=half overflows above 65504: use "
            "features.dtype=float32)"
        )
    solved = solve(sums, fit.descriptor.weight, fit.descriptor.bias, values.optimizer.time)
    with torch.no_grad():
        fit.descriptor.weight.copy_(solved.weight)
        fit.descriptor.bias.copy_(solved.bias)
    nu = values.loss.nu
    row: Row = dict.fromkeys(HISTORY_COLUMNS, 0.0) | {
        "train/loss": before / nu,
        "train/attraction": before / nu,
        "train/radius": values.loss.r,
        "train/active_attraction": 1.0,
        ATTRACTION_AFTER: solved.attraction / nu,
    }
    log.info("solved: attraction %.4g -> %.4g", row["train/attraction"], row[ATTRACTION_AFTER])
    observer.step(row)
    if values.memory_bank.refresh:
        fit.bank = fit.make_bank(fit.descriptor)
    fit.next_epoch, fit.next_step, fit.sums = 1, 1, None
    observer.epoch(fit)
    return [row]


def _sums(fit: Fit, observer: Observer) -> Sums:
    """The sums over all training images, beginning with those that the fit has."""
    weight = fit.descriptor.weight
    order = np.arange(len(fit.levels[0]))
    if fit.sums is None:
        shift = shift_of(take(fit.levels, order[:1], weight), fit.descriptor)
        fit.sums = no_sums(shift, len(weight))
    sums, shift = fit.sums, fit.sums.shift
    attraction = HypersphereLoss(K=fit.loss.K, J=0, alpha=0, nu=1)
    radius = weight.new_zeros(())
    begun = for_shifted(fit.descriptor, shift)
    step = make_step(begun, radius, fit.bank, attraction, precision="exact")
    groups = [order[i : i + GROUP] for i in range(fit.next_image, len(order), GROUP)]
    with phase("training", len(order), "images", done=fit.next_image) as shown:
        for group in groups:
            pyramid = shifted(take(fit.levels, group, weight), shift)
            shares = [(np.array([i]), 1 / len(group)) for i in range(len(group))]
            found = step.gradients(pyramid, shares)
            sums.add_(sums_of(pyramid, found, shift, with_coordinates=begun.has_coordinates))
            fit.next_image += len(group)
            shown.reach(fit.next_image)
            observer.image(fit)
    return sums
