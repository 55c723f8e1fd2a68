"""Files that hold a model, or a fit that is not finished. None of them can run code when read."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from cfa_lab.errors import UserError
from cfa_lab.files import replacing, write_atomically
from cfa_lab.method.closed_form import Sums
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.detector import Detector
from cfa_lab.method.scoring import Scoring
from cfa_lab.records import names
from cfa_lab.training.description import ModelDescription, parse_description
from cfa_lab.training.state import Fit

POSITION = ("next_epoch", "next_step", "next_image")
OF_DETECTOR = ("descriptor.weight", "descriptor.bias", "bank", "radius")
OPTIMIZER_SLOTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step")


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

    Raises UserError where it belongs to another configuration or other training images.
    """
    path = folder / names.STATE
    if not path.is_file():
        return
    tensors, position = _load_tensors(path), state_position(folder)
    if position["fit_key"] != fit_key:
        raise UserError(
            f"{path} belongs to another run (key {position['fit_key']}, this is {fit_key}): "
            "settings, training images or weights changed; start a new run without resume="
        )
    with torch.no_grad():
        fit.descriptor.weight.copy_(tensors["weight"])
        fit.descriptor.bias.copy_(tensors["bias"])
        fit.radius.copy_(tensors["radius"])
        fit.bank.copy_(tensors["bank"])
    if fit.optimizer is not None:
        for i, parameter in enumerate(fit.optimizer.param_groups[0]["params"]):
            for slot in OPTIMIZER_SLOTS:
                if (value := tensors.get(f"optimizer.{i}.{slot}")) is not None:
                    moved = value if slot == "step" else value.to(parameter.device)
                    fit.optimizer.state[parameter][slot] = moved
    if "sums.shift" in tensors:
        parts = [field.name for field in fields(Sums)]
        fit.sums = Sums(**{name: tensors[f"sums.{name}"].to(fit.bank.device) for name in parts})
    for name in POSITION:
        setattr(fit, name, int(position[name]))


def state_position(folder: Path) -> dict[str, str]:
    """`POSITION` and `fit_key` of a saved state; empty where there is none."""
    path = folder / names.STATE
    if not path.is_file():
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            position = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}); start a new run without resume=") from error
    if not {*POSITION, "fit_key"} <= position.keys():
        raise UserError(f"{path} is no state of a run; start a new run without resume=")
    return position


def remove_state(folder: Path) -> None:
    """Delete the state of a run that is finished."""
    (folder / names.STATE).unlink(missing_ok=True)


def _save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(path) as partial:
        partial.write_bytes(save(on_cpu, metadata))


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}); train the model again") from error
