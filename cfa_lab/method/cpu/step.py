"""A training step on a CPU: what autograd would give, in one pass over the patches.

A block of patches goes all the way from features to weight gradient while it stands in the caches;
no array holds all patches of an image but the features themselves. Images go through side by side.
Everything is shifted by the memory bank's mean, which changes no distance.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from cfa_lab.method.cpu.compiled import as_array, as_arrays, compiled
from cfa_lab.method.cpu.grid import Grid, make_grid
from cfa_lab.method.cpu.levelwise import Pairs, Pulls, Summands, add_levels, pull_row
from cfa_lab.method.cpu.loss import Terms, judge_rows, numbers_of, radius_gradient, terms_of
from cfa_lab.method.cpu.neighbours import propose, rules_of
from cfa_lab.method.cpu.projection import ProjectedBank
from cfa_lab.method.cpu.selection import Found, Proposals, Rules, select_rows
from cfa_lab.method.cpu.threads import side_by_side
from cfa_lab.method.cpu.workspace import Workspace
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.gradients import Gradients, Portion
from cfa_lab.method.loss import HypersphereLoss
from cfa_lab.method.pyramid import StoredLevel, take

DISTANCE_ELEMENTS = 3 << 20
"""Half squared distances of a block's patches to all entries, at most."""

FEATURE_ELEMENTS = 1 << 20
"""Elements of a block's patch features, at most."""


class CpuStep:
    """Loss and gradients of a descriptor (d, columns) against a memory bank that does not change.

    `radius` is a scalar, trained or not. `rounded` takes the descriptor's products, forward and for
    its gradient, in bf16; sums, distances, loss and parameters stay in the weights' type.
    """

    def __init__(
        self,
        descriptor: Descriptor,
        radius: Tensor,
        bank: ProjectedBank,
        loss: HypersphereLoss,
        *,
        rounded: bool,
    ):
        self.descriptor = descriptor
        self.radius = radius
        self.bank = bank
        self.loss = loss
        self.dtype = torch.bfloat16 if rounded else descriptor.weight.dtype
        self._workspaces: list[Workspace] = []

    def gradients(self, levels: Sequence[StoredLevel], portions: Sequence[Portion]) -> Gradients:
        """Of the loss over some images of stored maps (n, c_l, h_l, w_l).

        Where there are more threads than portions, these are cut up by rows of patches. Pieces are
        dealt out to threads in turn and added up in a fixed order.
        """
        num_cuts = -(-torch.get_num_threads() // len(portions))
        pieces = [(portion, cut) for portion in portions for cut in range(num_cuts)]
        num_workers = min(torch.get_num_threads(), len(pieces))
        while len(self._workspaces) < num_workers:
            self._workspaces.append(Workspace())
        weight = self.descriptor.weight.detach().to(self.dtype)

        @torch.no_grad()  # holds for one thread only
        def work(worker: int) -> Gradients:
            total = Gradients(
                torch.zeros(4, dtype=torch.float64),
                torch.zeros_like(self.descriptor.weight),
                torch.zeros_like(self.descriptor.bias),
                torch.zeros_like(self.radius),
            )
            workspace = self._workspaces[worker]
            for (index, share), cut in pieces[worker::num_workers]:
                pyramid = take(levels, index, weight)
                _Piece(self, workspace, weight, pyramid).add_to(total, share, cut, num_cuts)
            return total

        first, *others = side_by_side(work, range(num_workers), pool="steps")
        for other in others:
            for total, part in zip(first, other, strict=True):
                total.add_(part)
        return first._replace(numbers=first.numbers.to(first.weight.dtype))


class _Piece:
    """One image, or a few small ones, or some rows of one, from features to gradient."""

    def __init__(
        self, step: CpuStep, workspace: Workspace, weight: Tensor, pyramid: Sequence[Tensor]
    ):
        self.step = step
        self.workspace = workspace
        self.dtype = step.descriptor.weight.dtype
        maps = [level.movedim(1, -1) for level in pyramid]  # (b, h_l, w_l, c_l)
        sizes = tuple((int(level.shape[1]), int(level.shape[2])) for level in maps)
        self.grid = _grid(len(maps[0]), sizes, self.dtype)
        self.finest, *self.coarser = (level.flatten(0, 2) for level in maps)  # (b h_l w_l, c_l)
        channels = step.descriptor.channels
        self.parts = weight[:, : sum(channels)].split(channels, dim=1)  # (d, c_l) each
        self.num_coarse = sum(len(level) for level in self.coarser)
        whole = step.descriptor.weight.detach()
        self.position = whole[:, sum(channels) :].T.contiguous()  # (2 or 0, d)
        self.bias = step.descriptor.bias.detach() - step.bank.mean

    def add_to(self, total: Gradients, share: float, cut: int, num_cuts: int) -> None:
        """Add what part `cut` of `num_cuts` equal parts of the rows of patches contributes."""
        step, grid = self.step, self.grid
        radius = float(step.radius.detach())
        num_patches = grid.num_patches
        terms = terms_of(step.loss, radius, num_patches=num_patches, share=share, dtype=self.dtype)
        num_felt = step.loss.num_felt(step.radius)
        sums = np.zeros((2, 2))
        products = self._take("coarse products", self.num_coarse, step.dtype)
        for level, part, rows in zip(self.coarser, self.parts[1:], grid.levels, strict=True):
            torch.mm(level, part.T, out=products[rows])
        pulls = self._take("coarse pulls", self.num_coarse, self.dtype).zero_()
        ends = total.bias.new_zeros(3, len(total.bias))
        rules = rules_of(step.bank, step.bank.shifted)
        for first, last in self._blocks(cut, num_cuts):
            patches = slice(first * grid.width, last * grid.width)
            phi, own = self._describe(patches, products, (first, last))
            proposals = propose(step.bank, phi, self._buffer(len(phi)))
            _finish_rows(
                grid,
                (first, last),
                as_array(phi),
                as_arrays(proposals),
                rules,
                num_felt,
                terms,
                sums,
                as_arrays(Pulls(own, pulls, ends)),
            )
            self._add_product(total.weight, 0, own, self.finest[patches])
        start = len(self.parts[0].T)
        for level, rows in zip(self.coarser, grid.levels, strict=True):
            self._add_product(total.weight, start, pulls[rows].to(step.dtype), level)
            start += level.shape[1]
        total.weight[:, start:].add_(ends[1:].T[:, : total.weight.shape[1] - start])
        total.bias.add_(ends[0])
        total.numbers.add_(numbers_of(terms, sums, step.loss.nu))
        total.radius.add_(radius_gradient(terms, sums, radius))

    def _blocks(self, cut: int, num_cuts: int) -> Iterator[tuple[int, int]]:
        """Rows of patches of one part, in blocks of about equal size."""
        num_rows = self.grid.num_images * self.grid.height
        first, last = cut * num_rows // num_cuts, (cut + 1) * num_rows // num_cuts
        most = min(
            DISTANCE_ELEMENTS // len(self.step.bank),
            FEATURE_ELEMENTS // len(self.step.descriptor.weight),
        )
        most = max(1, most // self.grid.width)
        num_blocks = -(-(last - first) // most)
        edges = [first + i * (last - first) // max(1, num_blocks) for i in range(num_blocks + 1)]
        return pairwise(edges)

    def _describe(
        self, patches: slice, products: Tensor, rows: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Patch features (p, d) of a block, and where their gradient may go, in products' type."""
        step = self.step
        level = self.finest[patches]
        phi = self._take("phi", len(level), self.dtype)
        own = phi if step.dtype == phi.dtype else self._take("own", len(level), step.dtype)
        torch.mm(level, self.parts[0].T, out=own)
        add_levels(self.grid, rows, Summands(own, products, self.bias, self.position), phi)
        return phi, own

    def _add_product(self, weight: Tensor, start: int, grad: Tensor, level: Tensor) -> None:
        """Add the gradient (d, c_l) of a level's columns, from that of its patches (p, d)."""
        columns = weight[:, start : start + level.shape[1]]
        if grad.dtype == weight.dtype:
            columns.addmm_(grad.T, level)
        else:
            columns.add_(grad.T @ level)

    def _take(self, name: str, rows: int, dtype: torch.dtype) -> Tensor:
        return self.workspace.take(name, rows, len(self.step.descriptor.weight), dtype)

    def _buffer(self, num_patches: int) -> Tensor:
        bank = self.step.bank
        return self.workspace.take("distances", num_patches, len(bank), bank.factors.dtype)


@lru_cache(maxsize=32)
def _grid(num_images: int, sizes: tuple[tuple[int, int], ...], dtype: torch.dtype) -> Grid:
    return make_grid(num_images, sizes, dtype)


@compiled
def _finish_rows(
    grid: Grid,
    rows,
    phi,
    proposals: Proposals,
    rules: Rules,
    num_felt,
    terms: Terms,
    sums,
    pulls: Pulls,
):
    """From proposed distances to gradients, row by row, while the entries found are in the caches.

    `rows`: the range of rows of patches whose features `phi` (p, d) are; `num_felt`: how many
    neighbours; `sums`: of the loss, added to; `pulls`: where the gradient of the features goes.
    """
    first, last = rows
    width = grid.width
    found = Found(np.empty((width, num_felt), np.int64), np.empty((width, num_felt), phi.dtype))
    grad = np.empty((width, num_felt), phi.dtype)
    for grid_row in range(first, last):
        begin = (grid_row - first) * width
        end = begin + width
        own = phi[begin:end]
        select_rows(
            own, Proposals(proposals.values[begin:end], proposals.errors[begin:end]), rules, found
        )
        judge_rows(terms, found.squared, grad, sums)
        pull_row(
            grid,
            grid_row,
            Pairs(own, rules.entries, found.indices, grad),
            Pulls(pulls.finest[begin:end], pulls.coarse, pulls.ends),
        )
