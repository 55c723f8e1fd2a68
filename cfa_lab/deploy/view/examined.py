"""One image as a model sees it: score, map, and for each patch its nearest memory-bank entries."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cfa_lab.data.decoded import Decoded
from cfa_lab.data.geometry import Box, Placement, Size
from cfa_lab.data.inputs import inputs_of
from cfa_lab.deploy.runtime import Scored
from cfa_lab.deploy.runtime_torch import TorchRuntime
from cfa_lab.deploy.view.patches import patch_at, patch_box, rim_distance
from cfa_lab.method.neighbours import Neighbours


@dataclass(frozen=True, eq=False)
class SeenInput:
    """One input of the network: the image, or a tile of it."""

    placement: Placement
    grid: Size
    entries: np.ndarray
    """(h * w, k) int64: the nearest entries of each patch, row by row, nearest first."""
    distances: np.ndarray
    """(h * w, k), to them."""


@dataclass(frozen=True)
class Patch:
    """A patch of an examined image, with its nearest entries."""

    position: tuple[int, int]
    """Row and column in the patch grid of its input."""
    box: Box
    """What it shows of the original image."""
    entries: tuple[int, ...]
    distances: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Examined:
    """An image with all that is shown of it; `image` is (H, W, 3) uint8, `mask` (H, W) bool."""

    name: str
    image: np.ndarray
    scored: Scored
    input_size: Size
    mask: np.ndarray | None = None
    label: int | None = None
    defect: str | None = None
    inputs: list[SeenInput] = field(default_factory=list)

    @cached_property
    def heat(self) -> np.ndarray:
        """The map at the image's own size (H, W); NaN outside the scored window."""
        return self.scored.full_map()

    @property
    def grid(self) -> Size:
        """Rows and columns of the patch grid, the same for all inputs."""
        return self.inputs[0].grid

    def patch_at(self, y: float, x: float) -> Patch | None:
        """The patch under a point of the image; None where the network saw nothing of it.

        Where tiles overlap it is that of the tile whose rim is farthest, which counts most there.
        """
        seen = max(self.inputs, key=lambda one: rim_distance(one.placement, (y, x)))
        position = patch_at(seen.placement, self.input_size, seen.grid, (y, x))
        if position is None:
            return None
        box = patch_box(seen.placement, self.input_size, seen.grid, position)
        assert box is not None  # a point of the image lies in it
        index = position[0] * seen.grid[1] + position[1]
        return Patch(
            position=position,
            box=box,
            entries=tuple(int(entry) for entry in seen.entries[index]),
            distances=tuple(float(distance) for distance in seen.distances[index]),
        )


def examine(
    runtime: TorchRuntime,
    image: Decoded,
    *,
    name: str,
    mask: np.ndarray | None = None,
    label: int | None = None,
    defect: str | None = None,
) -> Examined:
    """Score an image as the run did, and keep the neighbours of its patches."""
    geometry = runtime.description.image
    seen: list[SeenInput] = []

    def see(placement: Placement, grid: Size, found: Neighbours) -> None:
        entries, squared = (part.cpu().numpy() for part in found)
        seen.append(SeenInput(placement, grid, entries, np.sqrt(squared)))

    (scored,) = runtime.score_seen([inputs_of(image, geometry)], see)
    return Examined(
        name=name,
        image=np.asarray(image.shown()),
        scored=scored,
        input_size=geometry.input_size,
        mask=mask,
        label=label,
        defect=defect,
        inputs=seen,
    )
