"""From backbone maps to a fitted detector, for command line and library alike."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from cfa_lab.config import Settings, load_settings
from cfa_lab.errors import UserError
from cfa_lab.method.coreset import coreset_bank
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.detector import Detector
from cfa_lab.method.memory_bank import AFTER_FITTING, BankMaker, bank_maker
from cfa_lab.method.precision import float32_products
from cfa_lab.method.pyramid import StoredLevel, take
from cfa_lab.progress import each
from cfa_lab.records.history import Row
from cfa_lab.training.inputs import (
    checked_levels,
    indices,
    not_too_large,
    pool_all,
    whole,
    with_values,
)
from cfa_lab.training.loop import descend
from cfa_lab.training.order import Batches, bank_order, epoch_order
from cfa_lab.training.parts import make_descriptor, make_loss, make_optimizer, make_scoring
from cfa_lab.training.solve import say_what_has_no_part, solve_fit
from cfa_lab.training.state import Fit, Observer
from cfa_lab.vocabulary import within


def fit_pyramid(
    levels: Sequence[Any],
    *,
    pooled: bool = False,
    preset: str | Settings = "lab",
    K: int | None = None,
    J: int | None = None,
    r: float | None = None,
    alpha: float | None = None,
    nu: float | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    gamma_c: int | None = None,
    gamma_d: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    batches: Sequence[Any] | None = None,
    bank_batches: Sequence[Any] | None = None,
    initial_weight: Any = None,
    initial_bias: Any = None,
    device: str = "cpu",
    dimension_factor: int = 1,
    observer: Observer | None = None,
) -> tuple[Detector, list[Row]]:
    """Fit CFA to backbone maps of normal images and return the detector and the training history.

    Paper symbols left at None come from `preset`, a name or complete settings; all else is as for
    `new_fit`. The history has one dict a step, keyed as `history.csv`.
    """
    settings = load_settings(preset) if isinstance(preset, str) else preset
    settings = with_values(
        settings,
        loss={"K": K, "J": J, "r": r, "alpha": alpha, "nu": nu},
        optimizer={"lr": lr, "weight_decay": weight_decay},
        memory_bank={"gamma_c": gamma_c},
        descriptor={"gamma_d": gamma_d},
        trainer={"epochs": epochs, "batch_size": batch_size},
    )
    fit = new_fit(
        levels,
        settings,
        pooled=pooled,
        seed=seed,
        batches=batches,
        bank_batches=bank_batches,
        initial_weight=initial_weight,
        initial_bias=initial_bias,
        device=device,
        dimension_factor=dimension_factor,
    )
    history = train(fit, observer or Observer())
    return detector_of(fit), history


@float32_products()
def new_fit(
    levels: Sequence[Any],
    settings: Settings,
    *,
    pooled: bool = False,
    seed: int = 0,
    batches: Sequence[Any] | None = None,
    bank_batches: Sequence[Any] | None = None,
    initial_weight: Any = None,
    initial_bias: Any = None,
    device: str = "cpu",
    dimension_factor: int = 1,
) -> Fit:
    """Everything ready to train, and checked; the memory bank is made.

    `levels`: one (n, c_l, h_l, w_l) per backbone level, finest first: tensors, arrays or memory
    maps; `pooled` says that the 3 x 3 averaging is already in them. `batches` and `bank_batches`
    are image indices that replace the seeded order (all steps in a row; those that build the bank).
    The initial weight is (d, sum of c_l + 2) and its bias (d,). `dimension_factor` multiplies the
    descriptor's dimension before gamma_d divides it. Raises UserError for impossible values.
    """
    within("seed", seed := whole("seed", seed))
    maps = checked_levels(levels)
    if settings.optimizer.name == "closed_form":
        say_what_has_no_part(settings)
    descriptor = make_descriptor(
        settings,
        [level.shape[1] for level in maps],
        dimension_factor=whole("dimension_factor", dimension_factor),
        seed=seed,
        initial_weight=initial_weight,
        initial_bias=initial_bias,
    ).to(device)
    stored = maps if pooled else [pool_all(level) for level in maps]
    make_bank = _bank_maker(settings, stored, descriptor, bank_batches, seed)
    bank = not_too_large(make_bank(descriptor))
    loss = make_loss(settings, num_entries=len(bank))
    scored = num_scored_entries(settings, len(bank))
    if settings.num_score_neighbours > scored:
        raise UserError(
            f"scoring.num_neighbours is {settings.num_score_neighbours}; "
            f"allowed: 1 to {scored}, the size of the memory bank"
        )
    radius = nn.Parameter(
        torch.tensor(settings.loss.r, dtype=bank.dtype, device=bank.device),
        requires_grad=settings.loss.learnable_radius,
    )
    return Fit(
        settings=settings,
        seed=seed,
        levels=stored,
        epochs=_epochs(settings, len(maps[0]), batches, seed),
        loss=loss,
        make_bank=make_bank,
        descriptor=descriptor,
        bank=bank,
        radius=radius,
        optimizer=make_optimizer(settings, descriptor, radius),
    )


@float32_products()
def train(fit: Fit, observer: Observer) -> list[Row]:
    """Fit the descriptor as `optimizer.name` says, from where the fit stands; its history."""
    return solve_fit(fit, observer) if fit.optimizer is None else descend(fit, observer)


@float32_products()
def detector_of(fit: Fit) -> Detector:
    """The detector that a fit stands for; makes the entries that need the fitted descriptor."""
    descriptor = Descriptor(
        fit.descriptor.weight.detach(),
        fit.descriptor.bias.detach(),
        channels=fit.descriptor.channels,
    ).requires_grad_(False)
    kind, bank = fit.settings.memory_bank.kind, fit.bank
    if kind in AFTER_FITTING:
        num_entries = fit.settings.memory_bank.entries or len(bank)
        chosen = coreset_bank(descriptor, fit.levels, num_entries, seed=fit.seed)
        bank = chosen if kind == "coreset" else torch.cat([bank, chosen])
    sizes = [(int(level.shape[-2]), int(level.shape[-1])) for level in fit.levels]
    scoring = make_scoring(fit.settings)
    return Detector(descriptor, bank, fit.radius.detach(), scoring, fitted_sizes=sizes)


def num_scored_entries(settings: Settings, num_fitted: int) -> int:
    """Entries that scoring will look at, where the descriptor is fitted to `num_fitted`."""
    bank = settings.memory_bank
    if bank.kind not in AFTER_FITTING:
        return num_fitted
    return (bank.entries or num_fitted) + (num_fitted if bank.kind == "both" else 0)


def _bank_maker(
    settings: Settings,
    levels: Sequence[StoredLevel],
    descriptor: Descriptor,
    given: Sequence[Any] | None,
    seed: int,
) -> BankMaker:
    """How the bank that the descriptor is fitted to is made, from which images in which order."""
    values, num_images = settings.memory_bank, len(levels[0])
    if given is None:
        batches = bank_order(settings, num_images, seed=seed)
    else:
        batches = indices(given, "bank_batches", num_images)
    return bank_maker(
        values.kind,
        lambda: (
            take(levels, index, descriptor.weight)
            for index in each(batches, "memory bank", len(batches), "batches")
        ),
        beta=values.beta,
        gamma_c=values.gamma_c,
        starts=values.starts,
        seed=seed,
    )


def _epochs(
    settings: Settings, num_images: int, given: Sequence[Any] | None, seed: int
) -> Iterable[Batches]:
    """The batches of each epoch of steps."""
    order = partial(epoch_order, settings, num_images, seed=seed)
    if given is None:
        return (order(epoch=epoch) for epoch in range(settings.trainer.epochs))
    if settings.optimizer.name == "closed_form":
        raise UserError(
            "batches are steps of optimizer=adamw, but optimizer=closed_form takes every image "
            "once; leave batches out or choose settings with optimizer=adamw"
        )
    steps = indices(given, "batches", num_images)
    length = len(order(epoch=0))
    return (steps[start : start + length] for start in range(0, len(steps), length))
