"""The training loop, written out; features exist already, so an epoch is a walk over batches."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from cfa_lab.errors import UserError
from cfa_lab.method.gradients import Gradients, Portion, Step
from cfa_lab.method.pyramid import StoredLevel
from cfa_lab.progress import Phase, phase
from cfa_lab.records.history import HISTORY_COLUMNS, Row
from cfa_lab.training.order import Batches
from cfa_lab.training.parts import make_step
from cfa_lab.training.state import Fit, Observer

STEPS_BETWEEN_READS = 16
"""Losses stay on the device until so many steps are due, so that a GPU is not made to wait."""

PORTION_ELEMENTS = 1 << 21
"""Descriptor values that pass forward and backward at once on a CPU (8 MiB in float32)."""

GPU_PORTION_ELEMENTS = 1 << 27
"""The same on a GPU (512 MiB in float32): a whole batch, unless images are very large."""


def descend(fit: Fit, observer: Observer) -> list[Row]:
    """Train the descriptor, and the radius where it is learned, step by step with AdamW.

    Starts at `fit.next_epoch` and returns the history from there. The memory bank never changes
    (authors' code), or with `memory_bank.refresh` is made anew after each epoch. Raises UserError
    at a loss that is not finite, with its step.
    """
    epochs = list(fit.epochs)
    with phase("training", sum(map(len, epochs)), "steps", done=fit.next_step) as shown:
        return _descend(fit, observer, epochs, shown)


def _descend(fit: Fit, observer: Observer, epochs: Sequence[Batches], shown: Phase) -> list[Row]:
    gradients = _step(fit).gradients
    history: list[Row] = []
    for epoch, batches in enumerate(epochs):
        if epoch < fit.next_epoch:
            continue
        steps = _epoch_steps(fit, gradients, batches)
        for step, values in enumerate(_read(steps), fit.next_step):
            row: Row = dict(zip(HISTORY_COLUMNS, (epoch, step, *values), strict=True))
            if not math.isfinite(row["train/loss"]):
                raise _not_finite(row, history)
            history.append(row)
            shown.advance(state=f"loss {row['train/loss']:.4g}  r {row['train/radius']:.3g}")
            observer.step(row)
        if fit.settings.memory_bank.refresh:
            fit.bank = fit.make_bank(fit.descriptor)
            gradients = _step(fit).gradients
        fit.next_epoch, fit.next_step = epoch + 1, fit.next_step + len(batches)
        observer.epoch(fit)
    return history


def _step(fit: Fit) -> Step:
    precision = fit.settings.trainer.precision
    return make_step(fit.descriptor, fit.radius, fit.bank, fit.loss, precision=precision)


def _epoch_steps(
    fit: Fit,
    gradients: Callable[[Sequence[StoredLevel], Sequence[Portion]], Gradients],
    batches: Batches,
) -> Iterator[Tensor]:
    """Run the steps of one epoch; yields each one's numbers (6,) on the device."""
    assert fit.optimizer is not None
    levels = fit.levels
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
