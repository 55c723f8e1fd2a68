"""Files that hold a model, or a fit that is not finished. None of them can run code when read."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cfa_lab.errors import UserError
from cfa_lab.files import replacing, write_atomically
from cfa_lab.method.checksum import checksum
from cfa_lab.method.closed_form import Sums, no_sums
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.detector import Detector
from cfa_lab.method.scoring import Scoring
from cfa_lab.records import names
from cfa_lab.training.description import ModelDescription, parse_description
from cfa_lab.training.order import epoch_order
from cfa_lab.training.state import Fit

POSITION = ("next_epoch", "next_step", "next_image")
OF_DETECTOR = ("descriptor.weight", "descriptor.bias", "bank", "radius")
OPTIMIZER_SLOTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step")
CHECKSUM = "checksum"
"""The name, in a file's metadata, of the checksum over its tensors and its other metadata."""


def save_model(
    folder: Path,
    detector: Detector,
    description: ModelDescription,
    *,
    others: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model's two files: all that scoring an image file needs.

    Except the backbone's own weights, which are known by their hash; `others` are further tensors
    by name.
    """
    _save_tensors(folder / names.MODEL, {**detector.state_dict(), **(others or {})}, {})
    write_description(folder, description)


def write_description(folder: Path, description: ModelDescription) -> None:
    """Write what a model says of itself, in place of what it said before."""
    text = json.dumps(description.to_json(), indent=2, allow_nan=False) + "\n"
    write_atomically(folder / names.MODEL_DESCRIPTION, text)


def load_description(folder: Path) -> ModelDescription:
    """Read what the model of a folder says of itself; raises UserError where it says nothing."""
    path = folder / names.MODEL_DESCRIPTION
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} holds no readable model ({error}); train it again") from error
    return parse_description(text, where=path)


def load_detector(folder: Path) -> Detector:
    """Read the detector of a run folder back; it scores bit for bit as the saved one did.

    Raises UserError where a tensor is missing, has another shape than the others ask for, or holds
    what is no finite number.
    """
    return detector_of_tensors(
        _load_tensors(folder / names.MODEL), load_description(folder), where=folder
    )


def load_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model's file; raises UserError for one that cannot be read."""
    return _load_tensors(folder / names.MODEL)


def detector_of_tensors(
    tensors: Mapping[str, Tensor], description: ModelDescription, *, where: object
) -> Detector:
    """The detector that tensors and their description stand for, checked; raises UserError."""
    try:
        own = {name: tensors[name] for name in OF_DETECTOR}
        for name, value in own.items():
            if not value.is_floating_point() or not value.isfinite().all():
                raise ValueError(f"{name} holds what is no finite number")
        weight, bias, bank, radius = own.values()
        if weight.ndim != 2 or bias.shape != weight.shape[:1]:
            raise ValueError(f"weight {list(weight.shape)} and bias {list(bias.shape)} do not fit")
        if bank.ndim != 2 or bank.shape[1] != len(weight) or radius.ndim:
            raise ValueError(f"bank {list(bank.shape)} and {len(weight)} dimensions do not fit")
        descriptor = Descriptor(weight, bias, channels=description.channels)
        scoring = Scoring(**description.scoring)
        return Detector(descriptor.requires_grad_(False), bank, radius, scoring)
    except (KeyError, TypeError, ValueError, UserError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{where} holds no readable model ({what}); train it again") from error


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
    _save_tensors(folder / names.STATE, tensors, position | {"fit_key": fit_key})


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
        tensors, metadata = _read_tensors(path)
    except (SafetensorError, OSError, ValueError) as error:
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


def _save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    known = metadata | {CHECKSUM: _checksum(on_cpu, metadata)}
    with replacing(path) as partial:
        partial.write_bytes(save(on_cpu, known))


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return _read_tensors(path)[0]
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); train the model again") from error


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file; raises ValueError where its checksum is another.

    Files of earlier versions have none.
    """
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata() or {})
    others = {name: value for name, value in metadata.items() if name != CHECKSUM}
    if metadata.get(CHECKSUM, "") not in ("", _checksum(tensors, others)):
        raise ValueError("its checksum is wrong")
    return tensors, metadata


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    order = sorted(tensors)
    return checksum([tensors[name] for name in order], f"{order} {sorted(metadata.items())}")
