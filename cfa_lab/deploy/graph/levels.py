"""A linear map of pooled levels and position, some rows of the finest grid at a time."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from cfa_lab.data.geometry import Size
from cfa_lab.method.levelwise import upsampling_matrix
from cfa_lab.method.pyramid import coordinates


class Levels(nn.Module):
    """W [p_0; up(p_1); ...; row; column] + bias, each level taken at its own resolution.

    `weight` (out, columns) is in the descriptor's order. Upsampling is a product with one matrix
    along each axis: rows first, then columns, for all coarser levels at once. `edges` are the rows
    of the finest grid at which blocks begin and end.
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
        if with_coordinates:
            parts[0] = torch.cat([parts[0], weight[:, -2:]], 1)
        position = position[None, ..., : 2 * with_coordinates]
        self.register_buffer("position", position.float().clone())
        for level, part in enumerate(parts):
            self.register_buffer(f"weight_{level}", part.T.float().contiguous())
        self.register_buffer("bias", bias.float())
        coarser = [(_upsampling(h, height), _upsampling(w, width)) for h, w in sizes[1:]]
        if coarser:
            self.register_buffer("columns", torch.cat([columns for _, columns in coarser], 1))
        self.edges = list(pairwise(edges))
        self.used: list[list[slice]] = []
        for block, (start, stop) in enumerate(self.edges):
            self.used.append([])
            for level, (rows, _) in enumerate(coarser, 1):
                used = rows[start:stop].any(0).nonzero()[:, 0].tolist()
                self.used[-1].append(slice(used[0], used[-1] + 1))
                part = rows[start:stop, self.used[-1][-1]].clone()
                self.register_buffer(f"rows_{block}_{level}", part)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Prepare levels (b, c_l, h_l, w_l): position added to the finest, the coarser mapped."""
        finest, *coarser = (level.movedim(1, -1) for level in levels)
        position = self.position.expand(finest.shape[0], -1, -1, -1)
        mapped = [level @ getattr(self, f"weight_{i}") for i, level in enumerate(coarser, 1)]
        return [torch.cat([finest, position], -1), *mapped]

    def block(self, prepared: Sequence[Tensor], index: int) -> Tensor:
        """One block of the map: (b, rows * w, out)."""
        finest, *coarser = prepared
        mapped = finest[:, slice(*self.edges[index])] @ self.weight_0 + self.bias
        if coarser:
            tall: list[Tensor] = []
            for i, (level, used) in enumerate(zip(coarser, self.used[index], strict=True), 1):
                rows = getattr(self, f"rows_{index}_{i}") @ level[:, used].flatten(2)
                tall.append(rows.unflatten(2, level.shape[2:]))
            mapped = mapped + self.columns @ torch.cat(tall, 2)  # (b, rows, w, out)
        return mapped.flatten(1, 2)


def _upsampling(length: int, size: int) -> Tensor:
    return upsampling_matrix(length, size, torch.float64, torch.device("cpu")).float()
