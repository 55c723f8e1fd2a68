"""The patch descriptor: a 1 x 1 convolution with coordinates, the part that is trained."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cfa_lab.errors import UserError
from cfa_lab.method.levelwise import map_levels
from cfa_lab.method.pyramid import Pyramid
from cfa_lab.vocabulary import INITIALISATIONS, Initialisation, no_other, one_of


class Descriptor(nn.Module):
    """One linear map from a pooled pyramid (and position) to the adapted patch features phi.

    `weight` is (d, sum of c_l + 2), its columns ordered level by level, then row, then column
    coordinate; without coordinates the last two are missing. `bias` is (d,).
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, channels: Sequence[int]):
        super().__init__()
        self.channels = tuple(channels)
        self.has_coordinates = weight.shape[1] == sum(channels) + 2
        if not self.has_coordinates and weight.shape[1] != sum(channels):
            raise UserError(
                f"descriptor weight has {weight.shape[1]} columns; levels with "
                f"{list(channels)} channels need {sum(channels)} or, with coordinates, "
                f"{sum(channels) + 2}"
            )
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, pyramid: Pyramid) -> Tensor:
        """Describe the patches of pooled maps (b, c_l, h_l, w_l): (b, n, d), n = h_0 * w_0."""
        return map_levels(self.weight, self.bias, pyramid, with_coordinates=self.has_coordinates)


def new_descriptor(
    channels: Sequence[int],
    dimension: int,
    *,
    init: str = "default",
    with_coordinates: bool = True,
    generator: torch.Generator,
) -> Descriptor:
    """Make an untrained descriptor for levels of the given channels.

    `init`: `default` is PyTorch's for a convolution, uniform within 1/sqrt(fan-in) (authors' code);
    `he` is normal with variance 2/fan-in and zero bias (paper); `orthogonal` is a random rotation
    of the features; `identity` passes them through unchanged. Of fewer dimensions than features
    both make the same random orthogonal projection. Bias and coordinates begin at zero (ours).
    """
    word: Initialisation = one_of("descriptor.init", init, INITIALISATIONS)
    fan_in = sum(channels) + 2 * with_coordinates
    weight, bias = torch.empty(dimension, fan_in), torch.zeros(dimension)
    if word == "default":
        bound = 1 / math.sqrt(fan_in)
        weight.uniform_(-bound, bound, generator=generator)
        bias.uniform_(-bound, bound, generator=generator)
    elif word == "he":
        weight.normal_(0, math.sqrt(2 / fan_in), generator=generator)
    elif word == "orthogonal" or word == "identity":
        features = torch.empty(dimension, sum(channels))
        if word == "identity" and dimension >= sum(channels):
            nn.init.eye_(features)
        else:
            nn.init.orthogonal_(features, generator=generator)
        weight.zero_()
        weight[:, : sum(channels)] = features
    else:
        no_other(word)
    return Descriptor(weight, bias, channels=channels)
