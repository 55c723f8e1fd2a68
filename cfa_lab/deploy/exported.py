"""An exported file at work: images in, scores and maps out, by whichever runtime it is for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from cfa_lab.data.geometry import Placement
from cfa_lab.data.images import LoadedImage
from cfa_lab.deploy.resample import content, to_window
from cfa_lab.deploy.runtime import Scored, refuse_broken
from cfa_lab.errors import UserError
from cfa_lab.texts import parse_json
from cfa_lab.training.description import ModelDescription, parse_description

DESCRIPTION, EXPORT = "cfa_lab_model", "cfa_lab_export"
"""Under which names a file holds its two texts of JSON: the model's description, and how it was
exported, with what was measured then."""
IMAGES, SCORES, MAPS = "images", "scores", "maps"
"""What a graph's input and outputs are called."""

Infer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Images (b, h, w, 3) of `input_dtype` -> scores (b,) and maps (b, h, w), float32."""

OPENERS = {"onnx": "runtime_onnx", "openvino": "runtime_openvino", "torch": "runtime_program"}
"""Format -> module here whose `open_file` reads it; each needs an extra of its own, or torch."""


@dataclass(frozen=True, kw_only=True)
class ExportedRuntime:
    """A `Runtime` of an exported file; threads may share it."""

    description: ModelDescription
    arithmetic: str
    batch_size: int
    infer: Infer
    export: Mapping[str, Any] = field(default_factory=dict)
    """How the file was exported and what was measured."""

    def score(self, images: Sequence[Sequence[LoadedImage]]) -> list[Scored]:
        """Score images, each given as its one input; raises UserError for a result that is none."""
        inputs = [one for (one,) in images]
        dtype = input_dtype(self.description)
        found: list[Scored] = []
        for start in range(0, len(inputs), self.batch_size):
            batch = inputs[start : start + self.batch_size]
            pixels = np.stack([one.pixels for one in batch])
            scores, maps = self.infer(pixels.astype(dtype, copy=False))
            found += [
                self._scored(float(score), input_map, one.placement)
                for score, input_map, one in zip(scores, maps, batch, strict=True)
            ]
        for scored in found:
            refuse_broken(scored)
        return found

    def _scored(self, score: float, input_map: np.ndarray, placement: Placement) -> Scored:
        shown = content(input_map, placement)
        if shown.shape != input_map.shape and np.isfinite(score):  # the score never sees padding
            score = reduce(shown, self.description.scoring)
        return Scored(score, to_window(input_map, placement), placement)


def input_dtype(description: ModelDescription) -> Any:
    """The number type of a graph's images: uint8, or float32 where more than 8 bits count."""
    return np.float32 if description.image.depth.deep else np.uint8


def reduce(shown: np.ndarray, scoring: Mapping[str, Any]) -> float:
    """`Scoring.image_scores` of one map (h, w), by the fields of that class."""
    if scoring["reducer"] == "max":
        return float(shown.max())
    count = max(1, round(scoring["top_fraction"] * shown.size))
    return float(np.partition(shown.ravel(), shown.size - count)[-count:].mean())


def open_exported(path: Path, kind: str, *, num_threads: int | None = None) -> ExportedRuntime:
    """The runtime of a file of a format; raises UserError where it cannot be used here.

    `num_threads` of the model; None leaves it to the runtime.
    """
    opener = import_module(f"cfa_lab.deploy.{OPENERS[kind]}").open_file
    return opener(path, num_threads=num_threads)


def read_texts(texts: Mapping[str, str], path: Path) -> tuple[ModelDescription, Mapping[str, Any]]:
    """A file's two texts, read; raises UserError for a file that `export` did not write."""
    if DESCRIPTION not in texts:
        raise UserError(f"{path} was not written by cfa_lab export; it says nothing of its images")
    description = parse_description(texts[DESCRIPTION], where=path)
    try:
        export = parse_json(texts.get(EXPORT, "{}"))
    except ValueError as error:
        raise refuse_unreadable(path, error) from error
    return description, export if isinstance(export, dict) else {}


def refuse_unreadable(path: Path, error: Exception) -> UserError:
    """What to raise where a runtime cannot read a file."""
    reason = str(error).strip().splitlines()[0]
    return UserError(f"{path} cannot be read ({reason}); export the model again")


def missing(package: str, extra: str) -> UserError:
    """What to raise where a format's package is not installed."""
    return UserError(f"{package} is not installed; run: pip install 'cfa-lab[{extra}]'")
