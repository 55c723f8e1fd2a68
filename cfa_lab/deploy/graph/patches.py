"""Pooled levels to patch scores: descriptor, nearest entries of the bank, their weighting."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from cfa_lab.data.geometry import Size
from cfa_lab.deploy.graph.levels import Levels
from cfa_lab.method.detector import Detector
from cfa_lab.vocabulary import no_other

GROUP = 16
"""Entries whose minimum is taken before anything is sorted."""
BLOCK_BYTES = 6e6
"""Of products with the bank held at once."""
MAX_BLOCKS = 64
BEYOND = 1e30
"""Half a squared distance that no entry has: that of what fills up the last group."""
CENTRE_RTOL = 1e-2
"""Singular values of the descriptor, relative to the largest, that the centre is sought in."""


class PatchScores(nn.Module):
    """Pooled levels (b, c_l, h_l, w_l) of known sizes -> patch scores (b, h, w)."""

    bank: Tensor

    def __init__(self, detector: Detector, sizes: Sequence[Size]):
        super().__init__()
        self.grid = sizes[0]
        self.scoring = detector.scoring
        channels = detector.descriptor.channels
        weight, bias, bank = (
            value.detach().double().cpu()
            for value in (detector.descriptor.weight, detector.descriptor.bias, detector.bank)
        )
        # what the descriptor takes to about the bank's mean: without it no offset is left
        mean, of_features = bank.mean(0), weight[:, : sum(channels)]
        centre = torch.linalg.pinv(of_features, rtol=CENTRE_RTOL) @ (mean - bias)
        for level, part in enumerate(centre.split(channels)):
            self.register_buffer(f"centre_{level}", part.float().view(-1, 1, 1))
        bank, bias = bank - mean, of_features @ centre + bias - mean
        self.register_buffer("bank", bank.float())
        # |phi - c|^2 / 2 without |phi|^2 / 2, which all entries share
        products, offsets = -(bank @ weight), bank.square().sum(1) / 2 - bank @ bias
        missing = -len(bank) % GROUP
        products = torch.cat([products, products.new_zeros(missing, products.shape[1])])
        offsets = torch.cat([offsets, offsets.new_full((missing,), BEYOND)])
        edges = _edges(*self.grid, len(offsets))
        self.heights = [stop - start for start, stop in pairwise(edges)]
        levels = partial(Levels, channels, sizes, edges)
        self.describe, self.propose = levels(weight, bias), levels(products, offsets)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        levels = [level - getattr(self, f"centre_{i}") for i, level in enumerate(levels)]
        described, proposed = self.describe(levels), self.propose(levels)
        blocks = []
        for i, height in enumerate(self.heights):
            phi = self.describe.block(described, i)  # (b, n, d)
            found = lowest(self.propose.block(proposed, i), self.scoring.num_neighbours)
            # Differences decide: which of equally distant entries were found makes no difference.
            squared = (phi.unsqueeze(2) - self.bank[found]).square().sum(-1)  # (b, n, K)
            scores = self._weighted(squared.sqrt())
            blocks.append(scores.unflatten(1, (height, self.grid[1])))
        return torch.cat(blocks, 1)

    def _weighted(self, distances: Tensor) -> Tensor:
        """`Scoring.patch_scores` of distances (b, n, K) in any order: (b, n)."""
        nearest = distances.amin(-1)
        if self.scoring.weighting == "nearest":
            return nearest
        if self.scoring.weighting == "softmin":
            return nearest / (nearest.unsqueeze(-1) - distances).exp().sum(-1)
        no_other(self.scoring.weighting)


def _edges(height: int, width: int, num_entries: int) -> list[int]:
    """Rows at which blocks begin and end."""
    fitting = int(BLOCK_BYTES / (4 * width * num_entries))
    return [*range(0, height, max(1, fitting, math.ceil(height / MAX_BLOCKS))), height]


def lowest(values: Tensor, k: int) -> Tensor:
    """Where the k lowest of values (b, n, m) stand: (b, n, k), in any order.

    They lie in the k groups of the lowest minima, so that little is sorted.
    """
    num_groups, rest = divmod(values.shape[2], GROUP)
    if rest or num_groups <= k:
        return values.topk(k, largest=False).indices
    grouped = values.unflatten(2, (GROUP, num_groups))
    groups = grouped.amin(2).topk(k, largest=False).indices  # (b, n, k)
    chosen = grouped.gather(3, groups.unsqueeze(2).expand(-1, -1, GROUP, -1)).flatten(2)
    place = chosen.topk(k, largest=False).indices
    return place // k * num_groups + groups.gather(2, place % k)
