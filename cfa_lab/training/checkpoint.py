"""The state of a fit that is not finished, from which it goes on to the same bits."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor

from cfa_lab.errors import UserError
from cfa_lab.method.closed_form import Sums, no_sums
from cfa_lab.records import names
from cfa_lab.training.order import epoch_order
from cfa_lab.training.state import Fit
from cfa_lab.training.tensors import CHECKSUM, UNREADABLE, read_tensors, save_tensors

POSITION = ("next_epoch", "next_step", "next_image")
OPTIMIZER_SLOTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step")


def save_state(folder: Path, fit: Fit, *, fit_key: str) -> None:
    """Write a fit's state, all in one file so that it is whole or absent."""
    tensors = {
        "weight": fit.descriptor.weight.detach(),
        "bias": fit.descriptor.bias.detach(),
        "radius": fit.radius.detach(),
        "bank": fit.bank,
    }
    if fit.optimizer is not None:
        for i, parameter in enumerate(fit.optimizer.param_groups[0]["params"]):
            for slot, value in fit.optimizer.state[parameter].items():
                tensors[f"optimizer.{i}.{slot}"] = value
    if fit.sums is not None:
        tensors |= {f"sums.{name}": value for name, value in vars(fit.sums).items()}
    position = {name: str(getattr(fit, name)) for name in POSITION}
    save_tensors(folder / names.STATE, tensors, position | {"fit_key": fit_key})


def restore_state(folder: Path, fit: Fit, *, fit_key: str) -> None:
    """Put a saved state into a fit made the same way; does nothing where there is none.

    Raises UserError, and leaves the fit as it is, where the state belongs to another configuration
    or other training images, or is not what `save_state` writes of such a fit.
    """
    path = folder / names.STATE
    if not path.is_file():
        return
    tensors, position = _read_state(path)
    if position["fit_key"] != fit_key:
        raise UserError(
            f"{path} belongs to another run (key {position['fit_key']}, this is {fit_key}): "
            "settings, training images or weights changed; start a new run without resume="
        )
    try:
        slots, sums = _checked(tensors, position, fit)
    except ValueError as error:
        raise UserError(
            f"{path} is no state of this run ({error}); start a new run without resume="
        ) from error
    with torch.no_grad():
        fit.descriptor.weight.copy_(tensors["weight"])
        fit.descriptor.bias.copy_(tensors["bias"])
        fit.radius.copy_(tensors["radius"])
        fit.bank.copy_(tensors["bank"])
    for parameter, slot, value in slots:
        assert fit.optimizer is not None
        moved = value if slot == "step" else value.to(parameter.device)
        fit.optimizer.state[parameter][slot] = moved
    fit.sums = sums
    for name in POSITION:
        setattr(fit, name, int(position[name]))


def _checked(
    tensors: dict[str, Tensor], position: Mapping[str, str], fit: Fit
) -> tuple[list[tuple[Tensor, str, Tensor]], Sums | None]:
    """A state's slots of the optimizer and its sums; raises ValueError for what does not fit."""
    epoch, step, image = (int(position[name]) for name in POSITION)
    num_images, values = len(fit.levels[0]), fit.settings
    expected = {
        "weight": fit.descriptor.weight,
        "bias": fit.descriptor.bias,
        "radius": fit.radius,
        "bank": fit.bank,
    }
    slots: list[tuple[Tensor, str, str]] = []
    if fit.optimizer is None:
        steps = epoch
        last_epoch, last_image = min(1, values.trainer.epochs), num_images
    else:
        steps = epoch * len(epoch_order(values, num_images, seed=fit.seed, epoch=0))
        last_epoch, last_image = values.trainer.epochs, 0
        if step:
            kinds = [
                slot for slot in OPTIMIZER_SLOTS if values.optimizer.amsgrad or "max" not in slot
            ]
            for i, parameter in enumerate(fit.optimizer.param_groups[0]["params"]):
                for slot in kinds:
                    slots.append((parameter, slot, name := f"optimizer.{i}.{slot}"))
                    expected[name] = fit.radius.new_tensor(0.0) if slot == "step" else parameter
    if not (0 <= epoch <= last_epoch and step == steps and 0 <= image <= last_image):
        raise ValueError(f"epoch {epoch}, step {step} and image {image} do not go together")
    with_sums = fit.optimizer is None and image > 0 and not epoch
    if with_sums:
        dimension, columns = fit.descriptor.weight.shape
        like = no_sums(fit.descriptor.weight.new_zeros(columns), dimension)
        expected |= {f"sums.{name}": value for name, value in vars(like).items()}
    if tensors.keys() != expected.keys():
        odd = sorted(tensors.keys() ^ expected.keys())
        raise ValueError(f"it should hold {len(expected)} tensors, but {odd[0]} tells otherwise")
    for name, like in expected.items():
        if (found := tensors[name]).shape != like.shape or found.dtype != like.dtype:
            raise ValueError(f"{name} is {found.dtype} {list(found.shape)}")
        if not found.isfinite().all():
            raise ValueError(f"{name} holds what is no finite number")
    sums = None
    if with_sums:
        parts = {field.name: tensors[f"sums.{field.name}"] for field in fields(Sums)}
        sums = Sums(**{name: value.to(fit.bank.device) for name, value in parts.items()})
    return [(parameter, slot, tensors[name]) for parameter, slot, name in slots], sums


def state_position(folder: Path) -> dict[str, str]:
    """`POSITION` and `fit_key` of a saved state; empty where there is none.

    Raises UserError where the state is damaged anywhere: its checksum is of all that it holds.
    """
    path = folder / names.STATE
    return _read_state(path)[1] if path.is_file() else {}


def _read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and position of a state; raises UserError for a damaged one."""
    try:
        tensors, metadata = read_tensors(path)
    except UNREADABLE as error:
        raise UserError(f"{path} is damaged ({error}); start a new run without resume=") from error
    position = {name: value for name, value in metadata.items() if name != CHECKSUM}
    numbers = [position.get(name, "") for name in POSITION]
    if CHECKSUM not in metadata or "fit_key" not in position:
        raise UserError(
            f"{path} is no state of a run, or one of an earlier version; start a new run without "
            "resume="
        )
    if not all(number.isdecimal() for number in numbers):
        raise UserError(f"{path} is no state of a run; start a new run without resume=")
    return tensors, position


def remove_state(folder: Path) -> None:
    """Delete the state of a run that is finished."""
    (folder / names.STATE).unlink(missing_ok=True)
