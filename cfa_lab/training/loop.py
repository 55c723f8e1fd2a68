"""The training loop, written out; features exist already, so an epoch is a walk over batches."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cfa_lab.errors import UserError
from cfa_lab.method.cpu.projection import ProjectedBank
from cfa_lab.method.cpu.step import CpuStep
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.gradients import Gradients, Portion, Step
from cfa_lab.method.loss import HypersphereLoss
from cfa_lab.method.memory_bank import BankMaker
from cfa_lab.method.precision import multiplies_faster_in_bf16
from cfa_lab.method.pyramid import StoredLevel
from cfa_lab.method.step import AutogradStep
from cfa_lab.records.history import HISTORY_COLUMNS, Row
from cfa_lab.vocabulary import PRECISIONS, Precision, one_of

Batches = Sequence[np.ndarray]
"""Image indices, one array a batch."""

BANK_EPOCH = -1
"""Number of the pass that builds the memory bank, before epoch 0."""

STEPS_BETWEEN_READS = 16
"""Losses stay on the device until so many steps are due, so that a GPU is not made to wait."""

PORTION_ELEMENTS = 1 << 21
"""Descriptor values that pass forward and backward at once on a CPU (8 MiB in float32)."""

GPU_PORTION_ELEMENTS = 1 << 27
"""The same on a GPU (512 MiB in float32): a whole batch, unless images are very large."""


@dataclass
class Fit:
    """Everything that changes while training, and where training stands."""

    descriptor: Descriptor
    bank: Tensor
    radius: nn.Parameter
    optimizer: torch.optim.Optimizer
    next_epoch: int = 0
    next_step: int = 0


@dataclass
class Observer:
    """Told how a fit goes. All of it is optional."""

    step: Callable[[Row], None] = lambda row: None
    """Gets each line of the history, in order."""
    epoch: Callable[[Fit], None] = lambda fit: None
    """Called after each epoch."""
    begin: Callable[[Fit], None] = lambda fit: None
    """Called once, when all is checked and training is about to begin; may restore a saved fit."""


def seeded_batches(
    num_images: int, batch_size: int, *, drop_last: bool, seed: int, epoch: int
) -> Batches:
    """A shuffled epoch of image indices. The order depends on seed and epoch alone.

    So an interrupted run needs no generator state to go on. Epoch BANK_EPOCH is the pass that
    builds the memory bank. Batches are min(batch_size, num_images) long; `drop_last` leaves the
    rest out.
    """
    size = min(batch_size, num_images)
    order = np.random.default_rng([seed, epoch + 1]).permutation(num_images)
    stop = num_images - num_images % size if drop_last else num_images
    return [order[start : start + size] for start in range(0, stop, size)]


def train(
    fit: Fit,
    levels: Sequence[StoredLevel],
    *,
    epochs: Iterable[Batches],
    loss: HypersphereLoss,
    precision: str,
    refresh: BankMaker | None = None,
    observer: Observer,
) -> list[Row]:
    """Train the descriptor, and the radius where it is learned, on pooled maps (n, c_l, h_l, w_l).

    Starts at `fit.next_epoch` and returns the history from there. The memory bank never changes
    (authors' code), or `refresh` makes it anew after each epoch; `precision` is that of the
    descriptor's products. Raises UserError at a loss that is not finite, with its step.
    """
    checked: Precision = one_of("trainer.precision", precision, PRECISIONS)
    gradients = _step(fit, loss, checked).gradients
    history: list[Row] = []
    for epoch, batches in enumerate(epochs):
        if epoch < fit.next_epoch:
            continue
        steps = _epoch_steps(fit, gradients, levels, batches)
        for step, values in enumerate(_read(steps), fit.next_step):
            row: Row = dict(zip(HISTORY_COLUMNS, (epoch, step, *values), strict=True))
            if not math.isfinite(row["train/loss"]):
                raise _not_finite(row, history)
            history.append(row)
            observer.step(row)
        if refresh is not None:
            fit.bank = refresh(fit.descriptor)
            gradients = _step(fit, loss, checked).gradients
        fit.next_epoch, fit.next_step = epoch + 1, fit.next_step + len(batches)
        observer.epoch(fit)
    return history


def _step(fit: Fit, loss: HypersphereLoss, precision: Precision) -> Step:
    """The fastest way to take a step where the fit is.

    Where bf16 products gain, they always propose neighbours; `fast` also describes with them.
    """
    if fit.bank.device.type != "cpu":
        return AutogradStep(fit.descriptor, fit.radius, fit.bank, loss)
    gains = fit.bank.dtype == torch.float32 and multiplies_faster_in_bf16(fit.bank.device)
    bank = ProjectedBank(fit.bank, rounded=gains)
    return CpuStep(fit.descriptor, fit.radius, bank, loss, rounded=gains and precision == "fast")


def _epoch_steps(
    fit: Fit,
    gradients: Callable[[Sequence[StoredLevel], Sequence[Portion]], Gradients],
    levels: Sequence[StoredLevel],
    batches: Batches,
) -> Iterator[Tensor]:
    """Run the steps of one epoch; yields each one's numbers (6,) on the device."""
    for index in batches:
        radius = fit.radius.detach().clone()
        fit.optimizer.zero_grad()  # frees the last ones
        found = gradients(levels, _portions(index, levels, fit.descriptor.weight))
        fit.descriptor.weight.grad, fit.descriptor.bias.grad = found.weight, found.bias
        if fit.radius.requires_grad:
            fit.radius.grad = found.radius
        fit.optimizer.step()
        attraction, repulsion, *active = found.numbers
        yield torch.stack([attraction + repulsion, attraction, repulsion, radius, *active])


def _portions(index: np.ndarray, levels: Sequence[StoredLevel], weight: Tensor) -> list[Portion]:
    """A batch in portions of a few images.

    The loss is a mean over patches, so its gradient is the weighted sum of the portions'. On a CPU
    single large images are faster than all together: they run side by side, and what stands between
    their steps stays in the caches.
    """
    elements = levels[0].shape[-2] * levels[0].shape[-1] * len(weight)
    most = PORTION_ELEMENTS if weight.device.type == "cpu" else GPU_PORTION_ELEMENTS
    size = max(1, most // elements)
    parts = [index[start : start + size] for start in range(0, len(index), size)]
    return [(part, len(part) / len(index)) for part in parts]


def _read(steps: Iterator[Tensor]) -> Iterator[list[float]]:
    """Bring the numbers of all steps from the device, those of many steps at a time."""
    waiting: list[Tensor] = []
    for numbers in steps:
        waiting.append(numbers)
        if len(waiting) == STEPS_BETWEEN_READS or numbers.device.type == "cpu":
            yield from torch.stack(waiting).tolist()
            waiting.clear()
    if waiting:
        yield from torch.stack(waiting).tolist()


def _not_finite(row: Row, history: list[Row]) -> UserError:
    last = (
        f"the last finite one was {history[-1]['train/loss']:g} at step {history[-1]['step']}"
        if history
        else "it was the first"
    )
    if row["step"] == 0:
        cause = (
            "nothing is trained by then, so features may hold NaN or infinity "
            "(features.dtype=half overflows above 65504: use features.dtype=float32)"
        )
    else:
        cause = "lower optimizer.lr or raise loss.nu"
    return UserError(
        f"the loss became {row['train/loss']} at step {row['step']} (epoch {row['epoch']}); "
        f"{last}; {cause}"
    )
