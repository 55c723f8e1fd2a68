"""A scored test set, gathered image by image until it is measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfa_lab.errors import UserError
from cfa_lab.metrics.intake import Array, Maps, Masks, take_batch
from cfa_lab.metrics.saturation import Defect
from cfa_lab.metrics.scored_set import ScoredSet
from cfa_lab.metrics.spill import num_bytes, spilled
from cfa_lab.metrics.summary import checked_limits

# As in `ScoredSet`: one value per image for those of `PER_IMAGE`, else one per pixel.
STATES = {
    "labels": torch.int64,
    "scores": torch.float64,
    "num_negatives": torch.int64,
    "num_positives": torch.int64,
    "num_regions": torch.int64,
    "negatives": torch.float32,  # scores of pixels are float64 where maps are
    "positives": torch.float32,
    "areas": torch.int32,
    "kinds": torch.int64,  # from here on for sPRO only
    "num_defects": torch.int64,
    "num_saturating": torch.int64,
    "saturating": torch.float32,
    "saturation_areas": torch.int32,
}
PER_IMAGE = (
    *("labels", "scores", "num_negatives", "num_positives", "num_regions"),
    *("kinds", "num_defects", "num_saturating"),
)


class CollectedScores:
    """What `AnomalyMetrics` keeps of its images, one process's, without torchmetrics.

    `spill_bytes`: normal pixels that exceed this in memory move to a temporary file; no result
    changes.
    """

    def __init__(
        self,
        aupro_limits: Sequence[float],
        *,
        with_spro: bool = False,
        spill_bytes: int | None = None,
    ) -> None:
        self.aupro_limits = checked_limits(aupro_limits)
        self.with_spro = with_spro
        self.spill_bytes = spill_bytes
        self._chunks: dict[str, list[Tensor]] = {name: [] for name in STATES}

    def add(
        self,
        maps: Maps,
        masks: Masks | None,
        *,
        labels: Sequence[int],
        scores: Sequence[float],
        names: Sequence[str],
        defects: Sequence[Sequence[Defect]] | None = None,
        kinds: Sequence[int] | None = None,
    ) -> None:
        """Add images as `AnomalyMetrics.update` does."""
        added = states_of(
            maps, masks, labels, scores, names, defects, kinds, with_spro=self.with_spro
        )
        for name, arrays in added.items():
            self._chunks[name].extend(map(torch.from_numpy, arrays))
        negatives = self._chunks["negatives"]
        if self.spill_bytes is not None and num_bytes(negatives, on_disk=False) > self.spill_bytes:
            self._chunks["negatives"] = spilled(negatives, folder=None)

    @property
    def num_bytes(self) -> int:
        """Bytes kept of all scores, in memory and on disk."""
        return sum(chunk.nbytes for chunks in self._chunks.values() for chunk in chunks)

    def scored_set(self) -> ScoredSet:
        """The images added so far, to be measured."""
        return scored_set_of(self._chunks, self.aupro_limits, with_spro=self.with_spro)


def states_of(
    maps: Maps,
    masks: Masks | None,
    labels: Array | Sequence[int] | None,
    scores: Array | Sequence[float] | None,
    names: Sequence[str],
    defects: Sequence[Sequence[Defect]] | None,
    kinds: Sequence[int] | None,
    *,
    with_spro: bool,
) -> dict[str, list[np.ndarray]]:
    """What a batch adds to each state, without empty arrays; the arguments are `update`'s."""
    if with_spro != (defects is not None):
        raise UserError(
            "sPRO needs the defects of each image, and nothing else does; give update(..., "
            "defects=...) with AnomalyMetrics(with_spro=True) and only there"
        )
    batch = take_batch(maps, masks, labels=labels, scores=scores, names=names, defects=defects)
    images, saturating = batch.images, batch.saturating
    added = {
        "labels": [batch.labels],
        "scores": [batch.scores],
        "num_negatives": [np.array([image.negatives.size for image in images])],
        "num_positives": [np.array([image.positives.size for image in images])],
        "num_regions": [np.array([image.num_regions for image in images])],
        "negatives": [image.negatives for image in images],
        "positives": [image.positives for image in images],
        "areas": [image.areas for image in images],
    }
    if with_spro:
        added |= {
            "kinds": [batch.labels if kinds is None else np.asarray(kinds, np.int64)],
            "num_defects": [np.array([image.num_regions for image in saturating])],
            "num_saturating": [np.array([image.areas.size for image in saturating])],
            "saturating": [image.positives for image in saturating],
            "saturation_areas": [image.areas for image in saturating],
        }
    return {name: [a for a in arrays if a.size] for name, arrays in added.items()}


def scored_set_of(
    states: Mapping[str, Sequence[Tensor]], aupro_limits: Sequence[float], *, with_spro: bool
) -> ScoredSet:
    """The scored set that states, each in chunks, describe."""
    arrays: dict[str, Any] = {
        name: [chunk.cpu().numpy() for chunk in chunks] for name, chunks in states.items()
    }
    for name in PER_IMAGE:
        arrays[name] = np.concatenate([np.zeros(0, dtype=np.int64), *arrays[name]])
    return ScoredSet(**arrays, aupro_limits=aupro_limits, with_spro=with_spro)
