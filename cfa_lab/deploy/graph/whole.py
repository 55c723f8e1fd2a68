"""From images to scores and maps, with a guard against numbers that are none."""

import torch
from torch import Tensor, nn

from cfa_lab.data.geometry import Size
from cfa_lab.deploy.graph.patches import PatchScores
from cfa_lab.method.backbone import Backbone
from cfa_lab.method.detector import Detector
from cfa_lab.method.levelwise import upsampling_matrix
from cfa_lab.method.pyramid import pool
from cfa_lab.method.scoring import Scoring, gaussian_matrix

HALF_LIMIT = 65520.0
"""Numbers from here on become infinite in half precision."""
FLOAT_LIMIT = 3e38


class ScoringGraph(nn.Module):
    """Images (b, h, w, 3) of the network's input size -> scores (b,), maps (b, h, w) float32.

    The score is that of the whole input. Both are infinite where features or map are not finite.
    Images are uint8, or float32 in 0..255 where more than 8 bits count (`deep`). `half`: pooled
    features are rounded to half precision, as they were in training.
    """

    def __init__(
        self,
        backbone: Backbone,
        detector: Detector,
        *,
        input_size: Size,
        half: bool,
        deep: bool = False,
    ):
        super().__init__()
        self.backbone = backbone
        self.input_size = input_size
        self.dtype = torch.float32 if deep else torch.uint8
        self.rounds = half
        levels = backbone(torch.zeros(1, 3, *input_size))
        self.patches = PatchScores(detector, [level.shape[-2:] for level in levels])
        self.maps = ScoreMaps(detector.scoring, self.patches.grid, input_size)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        levels = [pool(level) for level in self.backbone(images.movedim(-1, 1))]
        # looked at before anything that may swallow NaN: a runtime's max and ReLU may
        limit = HALF_LIMIT if self.rounds else FLOAT_LIMIT
        features_sound = torch.stack([all_below(level, limit) for level in levels]).amin(0)
        if self.rounds:
            levels = [rounded_to_half(level) for level in levels]
        maps = self.maps(self.patches(levels))
        sound = features_sound * all_below(maps, FLOAT_LIMIT) > 0.5
        scores = self.maps.scoring.image_scores(maps)
        return (
            torch.where(sound, scores, torch.inf),
            torch.where(sound[:, None, None], maps, torch.inf),
        )


def all_below(values: Tensor, limit: float) -> Tensor:
    """1.0 for each (b, ...) whose values are all smaller in size than a limit, else 0.0: (b,).

    By a comparison, which NaN fails in every runtime, and a minimum over what cannot be NaN.
    """
    return (values.abs() < limit).float().flatten(1).amin(1)


def rounded_to_half(values: Tensor) -> Tensor:
    """Values rounded to the 11 bits of half precision, by float32 arithmetic (Veltkamp 1968).

    OpenVINO leaves out a conversion to half and back. Below 6e-5 half precision has fewer bits; the
    difference, at most 3e-8, is let be.
    """
    large = values * (2**13 + 1)
    return large - (large - values)


class ScoreMaps(nn.Module):
    """Patch scores (b, h, w) -> smoothed maps of the input's size, a matrix along each axis."""

    rows: Tensor
    columns: Tensor

    def __init__(self, scoring: Scoring, grid: Size, input_size: Size):
        super().__init__()
        self.scoring = scoring
        for name, length, size in zip(("rows", "columns"), grid, input_size, strict=True):
            matrix = upsampling_matrix(length, size, torch.float64, torch.device("cpu"))
            if scoring.sigma:
                matrix = gaussian_matrix(size, scoring.sigma, scoring.border) @ matrix
            self.register_buffer(name, matrix.float())

    def forward(self, scores: Tensor) -> Tensor:
        return self.rows @ scores @ self.columns.T
