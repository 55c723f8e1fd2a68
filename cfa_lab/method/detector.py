"""A fitted CFA model: what a checkpoint holds and what scores an image."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cfa_lab.errors import UserError
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.neighbours import Neighbours, NeighbourSearch
from cfa_lab.method.pyramid import Pyramid, patch_grid, pool, select
from cfa_lab.method.scoring import Scoring


class Detector(nn.Module):
    """Descriptor, memory bank (m, d), radius r (scalar) and scoring of one fitted category."""

    bank: Tensor
    radius: Tensor

    def __init__(self, descriptor: Descriptor, bank: Tensor, radius: Tensor, scoring: Scoring):
        super().__init__()
        if not 1 <= scoring.num_neighbours <= len(bank):
            raise UserError(
                f"scoring.num_neighbours is {scoring.num_neighbours}; "
                f"allowed: 1 to {len(bank)}, the size of the memory bank"
            )
        self.descriptor = descriptor
        self.register_buffer("bank", bank)
        self.register_buffer("radius", radius)
        self.scoring = scoring
        self._search: NeighbourSearch | None = None
        self._is_sound = True

    @torch.no_grad()
    def patch_scores(
        self, pyramid: Pyramid, see: Callable[[Neighbours], None] | None = None
    ) -> Tensor:
        """Score the patches of one batch of pooled maps (b, c_l, h_l, w_l): (b, h, w), its device.

        Image by image, so that a score never depends on what else was in the batch. A patch whose
        feature is no number scores NaN, and so do all where the bank holds one: the search would
        find them near. `see` is told of each image's neighbours, of two at least where the bank has
        them.
        """
        if self._search is None or self._search.bank is not self.bank:
            self._search = NeighbourSearch(self.bank)
            self._is_sound = bool(self.bank.isfinite().all())
        grid, num_neighbours = patch_grid(pyramid), self.scoring.num_neighbours
        num_found = num_neighbours if see is None else max(num_neighbours, min(2, len(self.bank)))
        scores = []
        for i in range(len(pyramid[0])):
            phi = self.descriptor([level[i : i + 1] for level in pyramid])[0]  # (n, d)
            found = self._search.nearest(phi, num_found)
            if see is not None:
                see(found)
            nearest = found.squared_distances[:, :num_neighbours]
            patch_scores = self.scoring.patch_scores(nearest)
            if not self._is_sound or not phi.sum().isfinite():  # the sum of all is quick to look at
                broken = ~phi.isfinite().all(dim=1) if self._is_sound else slice(None)
                patch_scores[broken] = torch.nan
            scores.append(patch_scores.unflatten(0, grid))
        return torch.stack(scores)

    def score(self, levels: Sequence[Any], *, pooled: bool = False) -> Tensor:
        """Score backbone maps of n images: levels (n, c_l, h_l, w_l) -> (n, h, w) float32 on CPU.

        `levels` are tensors, arrays or memory maps, finest first; `pooled` says that the 3 x 3
        averaging is already in them.
        """
        scores = [self.patch_scores(image).float().cpu() for image in self._images(levels, pooled)]
        if not scores:
            height, width = levels[0].shape[-2:]
            return torch.empty(0, height, width)
        return torch.cat(scores)

    def _images(self, levels: Sequence[Any], pooled: bool) -> Iterator[list[Tensor]]:
        weight = self.descriptor.weight
        for i in range(len(levels[0])):
            image = [select(level, slice(i, i + 1)).to(weight) for level in levels]
            yield image if pooled else [pool(level) for level in image]
