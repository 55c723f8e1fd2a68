"""A run being looked at: its model, its images where they still are, its test scores."""

import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cfa_lab.data.decoded import decode
from cfa_lab.data.depth import Depth
from cfa_lab.data.images import read_image
from cfa_lab.data.samples import SPLITS, Sample, SampleTable
from cfa_lab.deploy.load import model_folder
from cfa_lab.deploy.runtime_torch import TorchRuntime
from cfa_lab.deploy.view.bank import Bank, TrainingPatch
from cfa_lab.deploy.view.examined import Examined, Patch, examine
from cfa_lab.deploy.view.pictures import draw_patch
from cfa_lab.deploy.view.tally import TestScores
from cfa_lab.deploy.view.uploads import read_upload
from cfa_lab.errors import UserError
from cfa_lab.evaluation.evaluate import sample_mask
from cfa_lab.records.predictions import read_predictions
from cfa_lab.records.record import record_of
from cfa_lab.run.recorded import recorded_table

AT_A_POSITION = 3
"""Training images whose patch is shown for an entry that averages them all at its position."""
HEADROOM = 1.5
"""Sliders reach so many times the run's highest score: new images may be worse."""
MIN_STEPS = 200
"""Of a slider."""
DIGITS = 12
"""After the point, that a slider's end is told with."""

Captioned = tuple[np.ndarray, str]
"""A picture (h, w, 3) uint8 and what it shows."""


class Viewer:
    """What the page asks of a run; may be asked by many threads."""

    def __init__(self, runtime: TorchRuntime, path: Path):
        folder = model_folder(path)
        self.runtime, self.description, self.folder = runtime, runtime.description, folder
        self.predictions = read_predictions(folder)
        self.scores = TestScores(self.predictions)
        self.table: SampleTable | None = None
        self.why_no_images: str | None = None
        """Why none of the run's images can be chosen."""
        try:
            self.table = recorded_table(folder)
        except UserError as error:
            self.why_no_images = str(error)
        settings: dict[str, Any] = record_of(folder).get("config", {})
        self.bank = Bank(runtime, settings.get("memory_bank", {}), self.table)
        samples = () if self.table is None else self.table.samples
        self._samples = {sample.path: sample for sample in samples}

    @property
    def choices(self) -> list[tuple[str, str]]:
        """What the run's images are called on the page, and their paths: the test images first."""
        scores = {row["path"]: row["score"] for row in self.predictions}

        def label(sample: Sample) -> str:
            score = scores.get(sample.path)
            told = f"{sample.split}, {sample.defect}" + ("" if score is None else f", {score:.4g}")
            return f"{sample.path} ({told})"

        samples = sorted(self._samples.values(), key=lambda one: -SPLITS.index(one.split))
        return [(label(sample), sample.path) for sample in samples]

    @property
    def colour_range(self) -> tuple[float, float]:
        """The map values at both ends of the run's one colour scale."""
        return self.description.colour_range or self.scores.extent or (0.0, 1.0)

    def slider(self, own: float | None) -> tuple[float, float]:
        """How far a threshold can be moved that is `own` in the model: from 0, and in which steps.

        The steps are a power of ten.
        """
        values = [*self.colour_range, *(self.scores.extent or ()), *([] if own is None else [own])]
        highest = HEADROOM * max(values) or 1.0
        step = 10.0 ** math.floor(math.log10(highest / MIN_STEPS))
        return round(math.ceil(highest / step) * step, DIGITS), step

    def open(self, path: str) -> Examined:
        """One of the run's images by its path in the data set; raises UserError for any other."""
        sample = self._samples.get(path)
        if sample is None or self.table is None:
            raise UserError(f"{path!r} is no image of this run; choose one of the list")
        image = decode(self.table.absolute(sample.path), self.description.image.depth)
        examined = examine(
            self.runtime, image, name=sample.path, label=sample.label, defect=sample.defect
        )
        return replace(examined, mask=sample_mask(self.table, sample, examined.scored.placement))

    def upload(self, path: Path) -> Examined:
        """An uploaded file, which is deleted; raises UserError for one that cannot be used."""
        return examine(
            self.runtime, read_upload(path, self.description.image.depth), name=path.name
        )

    def needs_search(self, examined: Examined, patch: Patch) -> bool:
        """Whether the training images have to be described for `behind`."""
        return self.table is not None and not self.bank.known(self._real(examined, patch))

    def behind(self, examined: Examined, patch: Patch) -> list[Captioned]:
        """The patch, and what stands behind its nearest entries in the training images.

        Raises UserError where a training image cannot be read.
        """
        found = [(draw_patch(examined.image, patch.box), "the patch that was clicked")]
        if self.table is None:
            return found
        entries = self._real(examined, patch)
        sources = dict(zip(entries, self.bank.training_patches(entries), strict=False))
        for number, entry in enumerate(patch.entries, 1):
            if (one := sources.get(entry)) is not None:
                away = f", {one.distance:.4g} away" if one.distance else ""
                found += self._picture(one, f"neighbour {number}{away}")
            elif (position := self.bank.position(entry, examined.grid)) is not None:
                for one in self.bank.patches_at(position, examined.grid, AT_A_POSITION):
                    found += self._picture(one, f"neighbour {number}, in its average")
        return found

    def _real(self, examined: Examined, patch: Patch) -> list[int]:
        """The nearest entries that are no averages."""
        return [one for one in patch.entries if not self.bank.is_average(one, examined.grid)]

    def _picture(self, patch: TrainingPatch, told: str) -> list[Captioned]:
        if patch.box is None or self.table is None:  # padding shows nothing
            return []
        name = patch.path.relative_to(self.table.root).as_posix()
        row, column = patch.position
        caption = f"{told}: {name}, row {row}, column {column}"
        return [(draw_patch(_shown(patch.path, self.description.image.depth), patch.box), caption)]


@lru_cache(maxsize=4)
def _shown(path: Path, depth: Depth) -> np.ndarray:
    return np.asarray(read_image(path, depth))
