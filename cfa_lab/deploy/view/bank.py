"""What stands behind an entry of the memory bank: a position, or a patch of a training image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cfa_lab.data.geometry import Box, Geometry, Placement, Size
from cfa_lab.data.images import image_size, iterate_images
from cfa_lab.data.samples import SampleTable
from cfa_lab.data.tiles import Source
from cfa_lab.deploy.runtime_torch import TorchRuntime
from cfa_lab.deploy.view.patches import patch_box

AVERAGES = ("mean", "both")
"""Kinds whose entries are, or begin with, one average for each position of the patch grid."""
AT_POSITIONS = (*AVERAGES, "sample")
WORKERS = 2
SUMMED = "donot_use_mm_for_euclid_dist"
"""A matrix product would round distances near 0 away."""
SAME = 1e-4
"""Distance, as a share of an entry's length, below which a patch is taken for the entry itself."""


@dataclass(frozen=True)
class TrainingPatch:
    """A patch of a training image; `box` is what it shows of the image, None for padding."""

    path: Path
    position: tuple[int, int]
    box: Box | None
    distance: float = 0.0
    """To the entry it was found for; 0 for the entry itself, described again."""


class Bank:
    """The entries of a run's memory bank, and where in the training images they came from.

    A model does not keep where a coreset took its patches, so the training images are described
    again, batch by batch, until the nearest patch to each entry asked for is found; found ones are
    kept.
    """

    def __init__(self, runtime: TorchRuntime, kind: dict[str, Any], table: SampleTable | None):
        """`kind` is the section `memory_bank` of the run's settings, empty where it is unknown."""
        self._runtime, self._table = runtime, table
        self._entries = runtime.detector.bank
        self.kind: str | None = kind.get("kind")
        self._gamma_c = int(kind.get("gamma_c", 1))
        self._found: dict[int, TrainingPatch] = {}
        self.closed = False
        """Set where the page is closed: a search that is under way ends."""

    def __len__(self) -> int:
        return len(self._entries)

    def position(self, entry: int, grid: Size) -> tuple[int, int] | None:
        """Row and column that an entry belongs to; None where it belongs to none.

        Centres of K-means (`gamma_c` above 1) and moved entries (`ema`) do not.
        """
        num_positions = grid[0] * grid[1]
        whole = self.kind == "both" or len(self) == num_positions
        if (
            self.kind not in AT_POSITIONS
            or self._gamma_c > 1
            or not whole
            or entry >= num_positions
        ):
            return None
        return entry // grid[1], entry % grid[1]

    def is_average(self, entry: int, grid: Size) -> bool:
        """Whether an entry is the average of the training images' patches at its position."""
        return self.kind in AVERAGES and self.position(entry, grid) is not None

    def describe(self, entry: int, grid: Size) -> str:
        """What an entry is, in words."""
        if self.kind is None:
            return "an entry of unknown kind, since the run's settings are not there"
        if (position := self.position(entry, grid)) is not None:
            what = "the average" if self.is_average(entry, grid) else "a patch"
            return f"{what} of the training images at row {position[0]}, column {position[1]}"
        if self.kind != "coreset" and self._gamma_c > 1:
            if entry < grid[0] * grid[1] // self._gamma_c:
                return "a centre of K-means"
        elif self.kind == "ema":
            return "an entry that followed its matches over the training images"
        return "a patch of a training image"

    def known(self, entries: Sequence[int]) -> bool:
        """Whether `training_patches` need not look for any of these."""
        return all(entry in self._found for entry in entries)

    def training_patches(self, entries: Sequence[int]) -> list[TrainingPatch]:
        """The training patch nearest to each entry, the first one of equals.

        Describes the training images, which must be there; raises UserError for one that is not.
        """
        missing = [entry for entry in dict.fromkeys(entries) if entry not in self._found]
        if missing:
            self._found |= self._search(missing)
        return [self._found[entry] for entry in entries if entry in self._found]

    def patches_at(self, position: tuple[int, int], grid: Size, count: int) -> list[TrainingPatch]:
        """The patches at a position of at most `count` training images, evenly spread."""
        assert self._table is not None
        geometry, images = self._runtime.description.image, self._table.train
        count = min(count, len(images))
        found: list[TrainingPatch] = []
        for i in range(count):
            path = self._table.absolute(images[i * len(images) // count].path)
            placement = _first_placement(geometry, image_size(path))
            box = patch_box(placement, geometry.input_size, grid, position)
            found.append(TrainingPatch(path, position, box))
        return found

    @torch.no_grad()
    def _search(self, entries: list[int]) -> dict[int, TrainingPatch]:
        wanted = self._entries[entries]  # (k, d)
        enough = SAME * wanted.norm(dim=1)
        nearest = torch.full((len(entries),), torch.inf, device=wanted.device)
        found: dict[int, TrainingPatch] = {}
        input_size = self._runtime.description.image.input_size
        for path, placement, grid, phi in self._described():
            distances, places = torch.cdist(wanted, phi, compute_mode=SUMMED).min(dim=1)
            for i in (distances < nearest).nonzero().ravel().tolist():
                position = divmod(int(places[i]), grid[1])
                box = patch_box(placement, input_size, grid, position)
                away = float(distances[i]) if distances[i] > enough[i] else 0.0
                found[entries[i]] = TrainingPatch(path, position, box, away)
            nearest = torch.minimum(nearest, distances)
            if self.closed or bool((nearest <= enough).all()):
                break
        return found

    def _described(self) -> Iterator[tuple[Path, Placement, Size, torch.Tensor]]:
        assert self._table is not None
        runtime = self._runtime
        paths = [self._table.absolute(sample.path) for sample in self._table.train]
        sources: Sequence[Source] = runtime.extractor.sources(paths)
        waiting = iter(sources)
        geometry, batch_size = runtime.description.image, runtime.batch_size
        for loaded in iterate_images(sources, geometry, batch_size=batch_size, workers=WORKERS):
            for placement, grid, phi in runtime.describe(loaded):
                source = next(waiting)
                path = source if isinstance(source, Path) else source.path
                yield path, placement, grid, phi


def _first_placement(geometry: Geometry, original: Size) -> Placement:
    """That of an image's input, or of the first of its tiles."""
    if geometry.resize != "tile":
        return geometry.plan(original).placement
    height, width = (min(pair) for pair in zip(geometry.input_size, original, strict=True))
    return Placement(original, (0, 0, height, width), (0, 0, height, width))
