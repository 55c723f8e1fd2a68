"""The two files of a trained model: its tensors, and what it says of itself."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from cfa_lab.errors import UserError
from cfa_lab.files import write_atomically
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.detector import Detector
from cfa_lab.method.scoring import Scoring
from cfa_lab.records import names
from cfa_lab.texts import MOST_BYTES_OF_JSON, read_text
from cfa_lab.training.description import ModelDescription, parse_description
from cfa_lab.training.tensors import UNREADABLE, read_tensors, save_tensors

OF_DETECTOR = ("descriptor.weight", "descriptor.bias", "bank", "radius")


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
    save_tensors(folder / names.MODEL, {**detector.state_dict(), **(others or {})}, {})
    write_description(folder, description)


def write_description(folder: Path, description: ModelDescription) -> None:
    """Write what a model says of itself, in place of what it said before."""
    text = json.dumps(description.to_json(), indent=2, allow_nan=False) + "\n"
    write_atomically(folder / names.MODEL_DESCRIPTION, text)


def load_description(folder: Path) -> ModelDescription:
    """Read what the model of a folder says of itself; raises UserError where it says nothing."""
    path = folder / names.MODEL_DESCRIPTION
    try:
        text = read_text(path, most=MOST_BYTES_OF_JSON)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} holds no readable model ({error}); train it again") from error
    return parse_description(text, where=path)


def load_detector(folder: Path) -> Detector:
    """Read the detector of a run folder back; it scores bit for bit as the saved one did.

    Raises UserError where a tensor is missing, has another shape than the others ask for, or holds
    what is no finite number.
    """
    return detector_of_tensors(load_tensors(folder), load_description(folder), where=folder)


def load_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model's file; raises UserError for one that cannot be read."""
    path = folder / names.MODEL
    try:
        return read_tensors(path)[0]
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read ({error}); train the model again") from error


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
