"""Files that hold a model, or a fit that is not finished. None of them can run code when read."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from cfa_lab.data.geometry import Geometry
from cfa_lab.errors import UserError
from cfa_lab.files import replacing, write_atomically
from cfa_lab.method.backbone import Architecture
from cfa_lab.method.closed_form import Sums
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.detector import Detector
from cfa_lab.method.scoring import Scoring
from cfa_lab.records import names
from cfa_lab.training.state import Fit

POSITION = ("next_epoch", "next_step", "next_image")
OPTIMIZER_SLOTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step")


def save_model(
    folder: Path,
    detector: Detector,
    *,
    architecture: Architecture,
    geometry: Geometry,
    features: dict[str, Any],
    weights_hash: str,
) -> None:
    """Write a model's two files: all that scoring an image file needs.

    Except the backbone's own weights, which are known by their hash. `features` says how they are
    extracted (dtype, batch size).
    """
    _save_tensors(folder / names.MODEL, dict(detector.state_dict()), {})
    description = {
        "schema": 1,
        "channels": detector.descriptor.channels,
        "scoring": asdict(detector.scoring),
        "backbone": asdict(architecture) | {"layers": list(architecture.layers)},
        "backbone_weights_hash": weights_hash,
        "image": asdict(geometry),
        "features": features,
    }
    write_atomically(folder / names.MODEL_DESCRIPTION, json.dumps(description, indent=2) + "\n")


def load_detector(folder: Path) -> Detector:
    """Read the detector of a run folder back; it scores bit for bit as the saved one did."""
    tensors = _load_tensors(folder / names.MODEL)
    try:
        description = json.loads((folder / names.MODEL_DESCRIPTION).read_text(encoding="utf-8"))
        descriptor = Descriptor(
            tensors["descriptor.weight"],
            tensors["descriptor.bias"],
            channels=description["channels"],
        ).requires_grad_(False)
        return Detector(
            descriptor, tensors["bank"], tensors["radius"], Scoring(**description["scoring"])
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder} holds no readable model ({error}); train it again") from error


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
