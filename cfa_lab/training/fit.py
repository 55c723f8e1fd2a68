"""`fit_pyramid`: from backbone maps to a fitted detector, for command line and library alike."""

import operator
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cfa_lab.config import Settings, load_settings
from cfa_lab.errors import UserError
from cfa_lab.method.detector import Detector
from cfa_lab.method.memory_bank import bank_maker
from cfa_lab.method.pyramid import StoredLevel, pool, select, take
from cfa_lab.training.loop import (
    BANK_EPOCH,
    Batches,
    Fit,
    Observer,
    Row,
    seeded_batches,
    train,
)
from cfa_lab.training.parts import make_descriptor, make_loss, make_optimizer, make_scoring

POOL_BATCH = 16

COUNTS = ("K", "J", "gamma_c", "gamma_d", "epochs", "batch_size")
"""Settings that have to be whole numbers, of those that `fit_pyramid` takes."""


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

    `levels`: one (n, c_l, h_l, w_l) per backbone level, finest first: tensors, arrays or memory
    maps; `pooled` says that the 3 x 3 averaging is already in them. Paper symbols left at None come
    from `preset`, a name or complete settings. `batches` and `bank_batches` are image indices that
    replace the seeded order (all steps in a row; those that build the bank). The initial weight is
    (d, sum of c_l + 2) and its bias (d,). `dimension_factor` multiplies the descriptor's dimension
    before gamma_d divides it. The history has one dict a step, keyed as `history.csv`.
    Raises UserError for impossible values.
    """
    settings = load_settings(preset) if isinstance(preset, str) else preset
    settings = _with_values(
        settings,
        loss={"K": K, "J": J, "r": r, "alpha": alpha, "nu": nu},
        optimizer={"lr": lr, "weight_decay": weight_decay},
        memory_bank={"gamma_c": gamma_c},
        descriptor={"gamma_d": gamma_d},
        trainer={"epochs": epochs, "batch_size": batch_size},
    )
    if not 0 <= (seed := _whole("seed", seed)) < 2**32:
        raise UserError(f"seed is {seed}; allowed: 0 to {2**32 - 1}")
    dimension_factor = _whole("dimension_factor", dimension_factor)
    maps = _checked(levels)
    num_images = len(maps[0])
    stored = maps if pooled else [_pool_all(level) for level in maps]
    channels = [level.shape[1] for level in maps]

    descriptor = make_descriptor(
        settings,
        channels,
        dimension_factor=dimension_factor,
        seed=seed,
        initial_weight=initial_weight,
        initial_bias=initial_bias,
    ).to(device)
    trainer = settings.trainer

    def order(epoch: int) -> Batches:
        return seeded_batches(
            num_images, trainer.batch_size, drop_last=trainer.drop_last, seed=seed, epoch=epoch
        )

    first = (
        order(BANK_EPOCH)
        if bank_batches is None
        else _indices(bank_batches, "bank_batches", num_images)
    )
    make_bank = bank_maker(
        settings.memory_bank.kind,
        lambda: (take(stored, index, descriptor.weight) for index in first),
        beta=settings.memory_bank.beta,
        gamma_c=settings.memory_bank.gamma_c,
        seed=seed,
    )
    bank = make_bank(descriptor)
    loss = make_loss(settings, num_entries=len(bank))
    if settings.num_score_neighbours > len(bank):
        raise UserError(
            f"scoring.num_neighbours is {settings.num_score_neighbours}; "
            f"allowed: 1 to {len(bank)}, the size of the memory bank"
        )
    if batches is None:
        plan = (order(epoch) for epoch in range(trainer.epochs))
    else:
        steps = _indices(batches, "batches", num_images)
        length = len(order(0))
        plan = (steps[start : start + length] for start in range(0, len(steps), length))

    radius = nn.Parameter(
        torch.tensor(settings.loss.r, dtype=bank.dtype, device=bank.device),
        requires_grad=settings.loss.learnable_radius,
    )
    fit = Fit(descriptor, bank, radius, make_optimizer(settings, descriptor, radius))
    observer = observer or Observer()
    observer.begin(fit)
    history = train(
        fit,
        stored,
        epochs=plan,
        loss=loss,
        precision=trainer.precision,
        refresh=make_bank if settings.memory_bank.refresh else None,
        observer=observer,
    )
    detector = Detector(
        fit.descriptor.requires_grad_(False), fit.bank, fit.radius.detach(), make_scoring(settings)
    )
    return detector, history


def _with_values(settings: Settings, **groups: dict[str, Any]) -> Settings:
    """A copy of settings in which every value given (not None) replaces the group's."""
    changed = {}
    for group, values in groups.items():
        given = {
            name: _whole(f"{group}.{name}", value) if name in COUNTS else value
            for name, value in values.items()
            if value is not None
        }
        changed[group] = replace(getattr(settings, group), **given)
    return replace(settings, **changed)


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise UserError(f"{name} is {value!r}; must be a whole number") from None


def _checked(levels: Sequence[Any]) -> list[StoredLevel]:
    """Levels as they are (memory maps stay on disk) or as arrays, after a look at their shapes."""
    maps = [level if hasattr(level, "shape") else np.asanyarray(level) for level in levels]
    shapes = [tuple(level.shape) for level in maps]
    if not maps or any(len(shape) != 4 for shape in shapes):
        raise UserError(f"levels must be maps (n, c, h, w), one per backbone level; got {shapes}")
    if len({shape[0] for shape in shapes}) != 1:
        raise UserError(f"levels disagree on the number of images: {shapes}")
    if shapes[0][0] == 0:
        raise UserError("levels hold no image; at least 1 normal image is needed to train")
    sizes = [shape[2:] for shape in shapes]
    if any(h < next_h or w < next_w for (h, w), (next_h, next_w) in pairwise(sizes)):
        raise UserError(f"levels must run from fine to coarse; their sizes are {sizes}")
    return maps


def _pool_all(level: StoredLevel) -> Tensor:
    """Pool the maps of all images, a few at a time."""
    starts = range(0, len(level), POOL_BATCH)
    return torch.cat([pool(select(level, slice(i, i + POOL_BATCH)).float()) for i in starts])


def _indices(batches: Sequence[Any], name: str, num_images: int) -> Batches:
    arrays = [np.asarray(batch, dtype=np.int64) for batch in batches]
    if any(a.size == 0 or a.min() < 0 or a.max() >= num_images for a in arrays):
        raise UserError(f"{name} must hold image indices 0 to {num_images - 1} and no empty batch")
    return arrays
