"""A trained detector for people's own programs: pictures in, scores and maps out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from cfa_lab.data.inputs import Picture, as_image, inputs_of
from cfa_lab.deploy.load import open_runtime
from cfa_lab.deploy.runtime import Runtime, Scored
from cfa_lab.errors import UserError
from cfa_lab.training.description import ModelDescription, ModelThresholds

Pictures = Picture | Iterable[Picture]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What n pictures were found to be, in the order they were given."""

    scores: np.ndarray
    """(n,) float64, higher for more anomalous."""
    maps: list[np.ndarray]
    """n maps (H, W) float32, each at its picture's size; NaN where the network saw nothing."""
    decisions: np.ndarray | None
    """(n,) int, 1 for defect (`score >= threshold`); None for a model without a threshold."""


class TrainedDetector:
    """A loaded model with its preprocessing; may be used from many threads at once."""

    def __init__(self, runtime: Runtime):
        self.runtime = runtime

    @property
    def description(self) -> ModelDescription:
        """What the model says of itself."""
        return self.runtime.description

    @property
    def thresholds(self) -> ModelThresholds | None:
        """Its thresholds and where they came from."""
        return self.description.thresholds

    def predict(self, pictures: Pictures, *, threshold: float | None = None) -> Predictions:
        """Score pictures: paths, arrays (H, W, 3), RGB, or (H, W) of uint8 or uint16, PIL images.

        One alone is taken for a list of one. `threshold` decides in place of the model's own.
        Raises UserError for a picture that cannot be read or used.
        """
        scored = list(self.scored(pictures))
        scores = np.array([one.score for one in scored], dtype=np.float64)
        if threshold is None and self.thresholds is not None:
            threshold = self.thresholds.image
        return Predictions(
            scores=scores,
            maps=[one.full_map() for one in scored],
            decisions=None if threshold is None else (scores >= threshold).astype(int),
        )

    def score_samples(self, pictures: Pictures) -> np.ndarray:
        """Scores with scikit-learn's sign, (n,) float64: the lower, the more anomalous."""
        return np.array([-one.score for one in self.scored(pictures)], dtype=np.float64)

    def scored(self, pictures: Pictures) -> Iterator[Scored]:
        """Yield each picture's score and map, a batch at a time."""
        alone = isinstance(pictures, str | Path | np.ndarray | Image.Image)
        waiting = iter([pictures] if alone else pictures)
        geometry = self.description.image
        while batch := list(islice(waiting, self.runtime.batch_size)):
            images = [as_image(one, geometry.depth) for one in batch]
            yield from self.runtime.score([inputs_of(image, geometry) for image in images])


def load(
    path: str | Path,
    *,
    device: str = "cpu",
    num_threads: int | None = None,
    batch_size: int | None = None,
    backbone_weights: str | None = None,
    trust_code: bool = False,
) -> TrainedDetector:
    """Load a trained detector: a run folder, a model's folder from W&B, or an exported file.

    `num_threads` fixes the CPU threads; with the run's own number (`description.num_threads`) and
    batch size (None) scores are the run's to the last bit. `batch_size=1` is quicker for pictures
    that come one by one. `backbone_weights` is a file in place of where the run had its weights
    from. Raises UserError for what is missing, damaged, or made of other weights; runs no code,
    unless `trust_code` allows it to import the network that the model names, where it is not timm's
    (`backbone=custom`).
    """
    if batch_size is not None and batch_size < 1:
        raise UserError(f"batch_size is {batch_size}; allowed: 1 or more")
    return TrainedDetector(
        open_runtime(
            Path(path).expanduser(),
            device=device,
            num_threads=num_threads,
            batch_size=batch_size,
            backbone_weights=backbone_weights,
            trust_code=trust_code,
        )
    )
