"""One linear map of a pyramid's patch features, taken level by level, and its gradient."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from cfa_lab.method.pyramid import Pyramid, coordinates, patch_grid, upsample


def map_levels(weight: Tensor, bias: Tensor, pyramid: Pyramid, *, with_coordinates: bool) -> Tensor:
    """Map pooled maps (b, c_l, h_l, w_l) to (b, n, d) by weight (d, columns) and bias (d,).

    What W [p_0; up(p_1); up(p_2); row; column] + bias gives, where up is bilinear: a 1 x 1
    convolution commutes with upsampling (whose weights sum to 1), so each level is mapped at its
    own resolution. Differentiable in weight and bias, not in the features.
    """
    return _MapLevels.apply(weight, bias, with_coordinates, *pyramid)


class _MapLevels(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, bias: Tensor, with_coordinates: bool, *pyramid: Tensor
    ) -> Tensor:
        grid = patch_grid(pyramid)
        finest, *coarser = (level.movedim(1, -1) for level in pyramid)  # (b, h_l, w_l, c_l)
        first = finest.shape[-1]
        own = weight[:, :first]
        if with_coordinates:
            position = coordinates(*grid, dtype=weight.dtype, device=weight.device).movedim(0, -1)
            finest = torch.cat([finest, position.expand(*finest.shape[:-1], 2)], dim=-1)
            own = torch.cat([own, weight[:, -2:]], dim=1)
        phi = torch.addmm(bias, finest.flatten(0, 2), own.T)  # (b * n, d)
        start = first
        for level in coarser:
            stop = start + level.shape[-1]
            mapped = functional.linear(level, weight[:, start:stop])  # (b, h_l, w_l, d)
            _add_upsampled(phi.view(*finest.shape[:-1], -1), mapped)
            start = stop
        ctx.save_for_backward(finest, *coarser)
        ctx.first, ctx.columns = first, weight.shape[1]
        return phi.view(len(finest), -1, phi.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        finest, *coarser = ctx.saved_tensors
        grad = grads[0].contiguous().flatten(0, 1)  # (b * n, d)
        weight_grad = grad.new_empty(grad.shape[1], ctx.columns)
        own = grad.T @ finest.flatten(0, 2)
        weight_grad[:, : ctx.first] = own[:, : ctx.first]
        weight_grad[:, ctx.columns - (own.shape[1] - ctx.first) :] = own[:, ctx.first :]
        start = ctx.first
        for level in coarser:
            stop = start + level.shape[-1]
            pulled = _upsampling_adjoint(grad.view(*finest.shape[:-1], -1), level.shape[1:3])
            torch.mm(pulled.flatten(0, 2).T, level.flatten(0, 2), out=weight_grad[:, start:stop])
            start = stop
        bias_grad = (grad.new_ones(1, len(grad)) @ grad)[0]
        return weight_grad, bias_grad, None, *(None for _ in ctx.saved_tensors)


def _add_upsampled(phi: Tensor, mapped: Tensor) -> None:
    """Add a coarser map (b, h_l, w_l, d), upsampled, to phi (b, h, w, d), in place."""
    (b, height, width, d), (low_height, low_width) = phi.shape, mapped.shape[1:3]
    rows = _matrices(b, low_height, height, mapped).bmm(mapped.flatten(2))  # (b, h, w_l * d)
    columns = _matrices(b * height, low_width, width, mapped)
    phi.view(b * height, width, d).baddbmm_(columns, rows.view(b * height, low_width, d))


def _upsampling_adjoint(grad: Tensor, size: Sequence[int]) -> Tensor:
    """The transpose of upsampling: (b, h, w, d) -> (b, h_l, w_l, d)."""
    (b, height, width, d), (low_height, low_width) = grad.shape, size
    rows = _matrices(b, low_height, height, grad).mT.bmm(grad.flatten(2))  # (b, h_l, w * d)
    columns = _matrices(b * low_height, low_width, width, grad).mT
    return columns.bmm(rows.view(b * low_height, width, d)).view(b, low_height, low_width, d)


def _matrices(count: int, length: int, size: int, like: Tensor) -> Tensor:
    """One upsampling matrix, `count` times: (count, size, length)."""
    return upsampling_matrix(length, size, like.dtype, like.device).expand(count, -1, -1)


@lru_cache(maxsize=32)  # the same few sizes for every batch of a run
def upsampling_matrix(length: int, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix (size, length) that bilinear upsampling is along one axis."""
    unit = torch.eye(length, dtype=dtype, device=device)[None, :, :, None]  # (1, length, length, 1)
    return upsample(unit, (size, 1))[0, :, :, 0].T.contiguous()
