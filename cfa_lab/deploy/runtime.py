"""What scores images, whatever does the arithmetic; nothing here needs torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cfa_lab.data.geometry import Placement
from cfa_lab.data.images import LoadedImage
from cfa_lab.errors import UserError
from cfa_lab.training.description import ModelDescription


@dataclass(frozen=True)
class Scored:
    """One image's score, and its map (h, w) float32 over the window that was scored."""

    score: float
    window_map: np.ndarray
    placement: Placement

    def full_map(self) -> np.ndarray:
        """The map at the image's own size (H, W) float32; NaN outside the scored window."""
        full = np.full(self.placement.original, np.nan, dtype=np.float32)
        top, left, height, width = self.placement.window
        full[top : top + height, left : left + width] = self.window_map
        return full


class Runtime(Protocol):
    """A model ready to score the inputs of images."""

    @property
    def description(self) -> ModelDescription: ...

    @property
    def batch_size(self) -> int:
        """Inputs scored at a time."""
        ...

    @property
    def arithmetic(self) -> str:
        """What does the arithmetic, and in which precision, in words."""
        ...

    def score(self, images: Sequence[Sequence[LoadedImage]]) -> list[Scored]:
        """Score images, each given as its inputs: one, or one for each of its tiles.

        Raises UserError where a result is not a finite number: it must never pass as normal.
        """
        ...


def refuse_broken(scored: Scored) -> None:
    """Raise UserError where a score or a map is no number: it must never pass as normal."""
    if not (np.isfinite(scored.score) and np.isfinite(scored.window_map).all()):
        raise UserError("the model gives no finite score for this image; it decides nothing")
