"""A linear map of pooled levels and position, some rows of the finest grid at a time."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from cfa_lab.data.geometry import Size
from cfa_lab.method.levelwise import upsampling_matrix
from cfa_lab.method.pyramid import coordinates

CHANNELS_A_COLUMN = 2
"""Of a coarser level that is upsampled before it is mapped, at most, for each of its columns.

A product over its channels then costs less than one along rows and columns of what it is mapped to.
"""


class Levels(nn.Module):
    """W [p_0; up(p_1); ...; row; column] + bias, each level taken where that costs least.

    `weight` (out, columns) is in the descriptor's order. Upsampling is a product with one matrix
    along each axis. Levels of few channels are upsampled, then mapped together with the finest.
    The others are mapped at their own resolution, then upsampled: rows first, then columns, for
    all of them at once. `edges` are the rows of the finest grid at which blocks begin and end.
    """

    bias: Tensor
    position: Tensor
    columns: Tensor
    weight_0: Tensor

    def __init__(
        self,
        channels: Sequence[int],
        sizes: Sequence[Size],
        edges: Sequence[int],
        weight: Tensor,
        bias: Tensor,
    ):
        super().__init__()
        height, width = sizes[0]
        parts = list(weight[:, : sum(channels)].split(list(channels), 1))
        position = coordinates(height, width, dtype=weight.dtype).movedim(0, -1)
        with_coordinates = weight.shape[1] > sum(channels)
        position = position[None, ..., : 2 * with_coordinates]
        self.register_buffer("position", position.float().clone())
        few = [c <= CHANNELS_A_COLUMN * w for c, (_, w) in zip(channels, sizes, strict=True)]
        self.early = [i for i in range(1, len(sizes)) if few[i]]
        self.late = [i for i in range(1, len(sizes)) if not few[i]]
        together = [parts[0], *(parts[i] for i in self.early), weight[:, sum(channels) :]]
        self.register_buffer("weight_0", torch.cat(together, 1).T.float().contiguous())
        self.register_buffer("bias", bias.float())
        upsampling = [(_upsampling(h, height), _upsampling(w, width)) for h, w in sizes]
        for i in self.early:
            self.register_buffer(f"rows_{i}", upsampling[i][0])
            self.register_buffer(f"columns_{i}", upsampling[i][1])
        for i in self.late:
            self.register_buffer(f"weight_{i}", parts[i].T.float().contiguous())
        coarser = [upsampling[i] for i in self.late]
        if coarser:
            self.register_buffer("columns", torch.cat([columns for _, columns in coarser], 1))
        self.edges = list(pairwise(edges))
        self.used: list[list[slice]] = []
        for block, (start, stop) in enumerate(self.edges):
            self.used.append([])
            for level, (rows, _) in zip(self.late, coarser, strict=True):
                used = rows[start:stop].any(0).nonzero()[:, 0].tolist()
                self.used[-1].append(slice(used[0], used[-1] + 1))
                part = rows[start:stop, self.used[-1][-1]].clone()
                self.register_buffer(f"rows_{block}_{level}", part)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Prepare levels (b, c_l, h_l, w_l): what is mapped together, and the others mapped."""
        together = [levels[0]]
        for i in self.early:
            rows, columns = getattr(self, f"rows_{i}"), getattr(self, f"columns_{i}")
            together.append(rows @ levels[i] @ columns.T)
        position = self.position.expand(levels[0].shape[0], -1, -1, -1)
        late = [levels[i].movedim(1, -1) @ getattr(self, f"weight_{i}") for i in self.late]
        return [torch.cat([torch.cat(together, 1).movedim(1, -1), position], -1), *late]

    def block(self, prepared: Sequence[Tensor], index: int) -> Tensor:
        """One block of the map: (b, rows * w, out)."""
        together, *late = prepared
        mapped = together[:, slice(*self.edges[index])] @ self.weight_0 + self.bias
        if late:
            tall: list[Tensor] = []
            for i, level, used in zip(self.late, late, self.used[index], strict=True):
                rows = getattr(self, f"rows_{index}_{i}") @ level[:, used].flatten(2)
                tall.append(rows.unflatten(2, level.shape[2:]))
            mapped = mapped + self.columns @ torch.cat(tall, 2)  # (b, rows, w, out)
        return mapped.flatten(1, 2)


def _upsampling(length: int, size: int) -> Tensor:
    return upsampling_matrix(length, size, torch.float64, torch.device("cpu")).float()
