"""A fitted CFA model: what a checkpoint holds and what scores an image."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from cfa_lab.errors import UserError
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.neighbours import Neighbours, NeighbourSearch, measurable
from cfa_lab.method.precision import float32_products
from cfa_lab.method.pyramid import Pyramid, patch_grid, pool, select
from cfa_lab.method.scoring import Scoring


class Detector(nn.Module):
    """Descriptor, memory bank (m, d), radius r (scalar) and scoring of one fitted category.

    `fitted_sizes`: height and width of each level in the fit, where they are known; images of any
    size are scored, but a level has the same share of the finest one's size.
    """

    bank: Tensor
    radius: Tensor

    def __init__(
        self,
        descriptor: Descriptor,
        bank: Tensor,
        radius: Tensor,
        scoring: Scoring,
        *,
        fitted_sizes: Sequence[tuple[int, int]] | None = None,
    ):
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
        self.fitted_sizes = fitted_sizes
        self._search: NeighbourSearch | None = None

    @float32_products()
    @torch.no_grad()
    def patch_scores(
        self, pyramid: Pyramid, see: Callable[[Neighbours], None] | None = None
    ) -> Tensor:
        """Score the patches of one batch of pooled maps (b, c_l, h_l, w_l): (b, h, w), its device.

        Image by image, so that a score never depends on what else was in the batch. A patch whose
        feature is no number, or too large to have a distance, scores NaN, and so do all where the
        bank holds such an entry: the search would find them near. `see` is told of each image's
        neighbours, of two at least where the bank has them.
        """
        self._check(pyramid)
        grid, num_images = patch_grid(pyramid), len(pyramid[0])
        if self._search is None or self._search.bank is not self.bank:
            if not measurable(self.bank).all():
                return self.bank.new_full((num_images, *grid), torch.nan)
            self._search = NeighbourSearch(self.bank)
        num_neighbours = self.scoring.num_neighbours
        num_found = num_neighbours if see is None else max(num_neighbours, min(2, len(self.bank)))
        scores = []
        for i in range(num_images):
            phi = self.descriptor([level[i : i + 1] for level in pyramid])[0]  # (n, d)
            found = self._search.nearest(phi, num_found)
            if see is not None:
                see(found)
            nearest = found.squared_distances[:, :num_neighbours]
            patch_scores = self.scoring.patch_scores(nearest)
            patch_scores[~measurable(phi)] = torch.nan
            scores.append(patch_scores.unflatten(0, grid))
        return torch.stack(scores)

    def score(self, levels: Sequence[Any], *, pooled: bool = False) -> Tensor:
        """Score backbone maps of n images: levels (n, c_l, h_l, w_l) -> (n, h, w) float32 on CPU.

        `levels` are tensors, arrays or memory maps, finest first; `pooled` says that the 3 x 3
        averaging is already in them. Raises UserError for other levels than those of the fit.
        """
        self._check(levels)
        scores = [self.patch_scores(image).float().cpu() for image in self._images(levels, pooled)]
        if not scores:
            height, width = levels[0].shape[-2:]
            return torch.empty(0, height, width)
        return torch.cat(scores)

    def _check(self, levels: Sequence[Any]) -> None:
        """Raise UserError for levels that are not the descriptor's, finest first, of n images."""
        shapes = [tuple(level.shape) for level in levels]
        wanted = self.descriptor.channels
        if (
            any(len(shape) != 4 for shape in shapes)
            or tuple(shape[1] for shape in shapes) != tuple(wanted)
            or len({shape[0] for shape in shapes}) != 1
            or any(h < low or w < wide for (*_, h, w), (*_, low, wide) in pairwise(shapes))
        ):
            raise UserError(
                f"levels are {shapes}; they must be maps (n, c, h, w) of the same n images, finest "
                f"first, with {', '.join(map(str, wanted))} channels, as in the fit"
            )
        sizes = [shape[2:] for shape in shapes]
        if self.fitted_sizes is not None and not _same_shares(sizes, self.fitted_sizes):
            raise UserError(
                f"levels have the sizes {_told(sizes)}, and in the fit they had "
                f"{_told(self.fitted_sizes)}: a level's share of the finest one's size must be the "
                "same; give all maps of one pass of the network, as they are"
            )

    def _images(self, levels: Sequence[Any], pooled: bool) -> Iterator[list[Tensor]]:
        weight = self.descriptor.weight
        for i in range(len(levels[0])):
            image = [select(level, slice(i, i + 1)).to(weight) for level in levels]
            yield image if pooled else [pool(level) for level in image]


def _same_shares(sizes: Sequence[Sequence[int]], fitted: Sequence[Sequence[int]]) -> bool:
    """Whether each level is to the finest one as in the fit, but for what networks round.

    A size may be off by one in the fit, which counts as often as the finest map is larger now.
    """
    return all(
        abs(now * was_finest - was * finest) <= was_finest + finest
        for level, was_level in zip(sizes, fitted, strict=True)
        for now, was, finest, was_finest in zip(level, was_level, sizes[0], fitted[0], strict=True)
    )


def _told(sizes: Sequence[Sequence[int]]) -> str:
    return ", ".join(f"{height} x {width}" for height, width in sizes)
