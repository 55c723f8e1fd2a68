"""From distances to a score map and an image score."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from cfa_lab.method.loss import safe_sqrt
from cfa_lab.method.pyramid import upsample
from cfa_lab.vocabulary import (
    BORDERS,
    REDUCERS,
    WEIGHTINGS,
    Border,
    Reducer,
    Weighting,
    no_other,
    one_of,
    within,
)


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How the distances of patches become maps and image scores (authors' code).

    `weighting`: `softmin` weighs the nearest distance by its softmin among `num_neighbours`;
    `nearest` is the nearest distance alone. `sigma`: of the Gaussian, in input pixels; 0 smooths
    nothing. `border`: what it sees beyond the edge, scipy's names, `reflect` (authors' code) or
    `mirror` (anomalib). `reducer`: `max`, or `top_mean` for the mean of the highest `top_fraction`.
    """

    num_neighbours: int
    weighting: Weighting = "softmin"
    sigma: float = 4.0
    border: Border = "reflect"
    reducer: Reducer = "max"
    top_fraction: float = 0.01

    def __post_init__(self) -> None:
        within("scoring.num_neighbours", self.num_neighbours)
        within("scoring.sigma", self.sigma)
        within("scoring.top_fraction", self.top_fraction)
        one_of("scoring.weighting", self.weighting, WEIGHTINGS)
        one_of("scoring.border", self.border, BORDERS)
        one_of("scoring.reducer", self.reducer, REDUCERS)

    def patch_scores(self, squared_distances: Tensor) -> Tensor:
        """Score patches from ascending squared distances: (..., num_neighbours) -> (...).

        Softmin: d_1 * exp(-d_1) / sum_k exp(-d_k).
        """
        distances = safe_sqrt(squared_distances)
        nearest = distances[..., 0]
        if self.weighting == "nearest":
            return nearest
        if self.weighting == "softmin":
            return nearest * (-distances).softmax(dim=-1)[..., 0]
        no_other(self.weighting)

    def maps(self, scores: Tensor, size: tuple[int, int]) -> Tensor:
        """Upsample patch scores (b, h, w) bilinearly to the network's input size; smooth them."""
        return self.smooth(upsample(scores.unsqueeze(1), size).squeeze(1))

    def smooth(self, maps: Tensor) -> Tensor:
        """Apply the Gaussian along both axes of maps (b, h, w)."""
        if self.sigma == 0:
            return maps
        rows, columns = (
            gaussian_matrix(length, self.sigma, self.border).to(maps) for length in maps.shape[-2:]
        )
        return rows @ maps @ columns.T

    def image_scores(self, maps: Tensor) -> Tensor:
        """Reduce maps (b, h, w) to one score an image: (b,)."""
        pixels = maps.flatten(1)
        if self.reducer == "max":
            return pixels.amax(1)
        if self.reducer == "top_mean":
            count = max(1, round(self.top_fraction * pixels.shape[1]))
            return pixels.topk(count, dim=1).values.mean(1)
        no_other(self.reducer)


@lru_cache(maxsize=16)  # the same few sizes for every image of a run
def gaussian_matrix(length: int, sigma: float, border: Border) -> Tensor:
    """The matrix (length, length), float64, that scipy's Gaussian filter is along one axis.

    Filtering is linear, so filtering the unit vectors gives the matrix, borders included, whatever
    the length; truncated at 4 sigma as in scipy and the authors' code.
    """
    import numpy as np
    from scipy.ndimage import gaussian_filter1d

    unit = np.eye(length)
    return torch.from_numpy(gaussian_filter1d(unit, sigma, axis=0, mode=border))
