"""The attraction term solved: what gradient descent of a given time makes of the descriptor.

Where every pair attracts and none repels, the bank stands still and r does not matter, the loss is
a sum of squares in the descriptor: least squares from patch features to targets, a patch's target
being the mean of its K nearest entries. Gradient descent on it has a closed form, which needs only
sums over patches, so one pass does what epochs do (ours; not in paper or authors' code).
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from cfa_lab.method.covariance import feature_sums
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.gradients import Gradients
from cfa_lab.method.pyramid import Pyramid, patch_grid


@dataclass
class Sums:
    """Sums over patches of training images, in float64. Those of further images add up.

    phi is what the descriptor made of a patch p as it began, c the mean of its K nearest entries.
    Features are taken relative to `shift`, so that little cancels.
    """

    shift: Tensor
    """(columns,), the same for all that is added up."""
    num_patches: Tensor
    """A scalar."""
    attraction: Tensor
    """Sum of the mean squared distance to the K nearest entries, a scalar."""
    features: Tensor
    """Sum of p, (columns,)."""
    products: Tensor
    """Sum of p p^T, (columns, columns)."""
    residual: Tensor
    """Sum of c - phi, (d,)."""
    pull: Tensor
    """Sum of (c - phi) p^T, (d, columns)."""

    def add_(self, other: "Sums") -> None:
        """Add the sums over other patches, of the same shift and the same bank."""
        for field in fields(self):
            if field.name != "shift":
                getattr(self, field.name).add_(getattr(other, field.name))


def no_sums(shift: Tensor, dimension: int) -> Sums:
    """The sums over no patches, for a descriptor of a dimension; `shift` is (columns,)."""

    def zeros(*shape: int) -> Tensor:
        return shift.new_zeros(shape, dtype=torch.float64)

    columns = len(shift)
    return Sums(
        shift=shift,
        num_patches=zeros(),
        attraction=zeros(),
        features=zeros(columns),
        products=zeros(columns, columns),
        residual=zeros(dimension),
        pull=zeros(dimension, columns),
    )


def sums_of(pyramid: Pyramid, found: Gradients, shift: Tensor, *, with_coordinates: bool) -> Sums:
    """The sums over the patches of shifted maps (b, c_l, h_l, w_l).

    `found` holds the attraction of these patches with nu = 1 and r = 0, and its gradient: that of
    mean |phi - c|^2 by the descriptor is -2 times the mean of (c - phi) p^T.
    """
    height, width = patch_grid(pyramid)
    num_patches = len(pyramid[0]) * height * width
    features, products = feature_sums(pyramid, with_coordinates=with_coordinates)
    return Sums(
        shift=shift,
        num_patches=features.new_tensor(num_patches),
        attraction=found.numbers[0].double() * num_patches,
        features=features,
        products=products,
        residual=found.bias.double() * (-num_patches / 2),
        pull=found.weight.double() * (-num_patches / 2),
    )


def shift_of(pyramid: Pyramid, descriptor: Descriptor) -> Tensor:
    """The mean feature of an image, (columns,): near enough to the mean of all to shift by.

    `pyramid` is (1, c_l, h_l, w_l). Coordinates stay as they are.
    """
    shift = torch.zeros_like(descriptor.weight[0])
    shift[: sum(descriptor.channels)] = torch.cat([level.mean((0, 2, 3)) for level in pyramid])
    return shift.detach()


def shifted(pyramid: Pyramid, shift: Tensor) -> list[Tensor]:
    """Maps (b, c_l, h_l, w_l) less the shift of their features: upsampling keeps constants."""
    channels = [level.shape[1] for level in pyramid]
    parts = shift[: sum(channels)].split(channels)
    return [level - part[:, None, None] for level, part in zip(pyramid, parts, strict=True)]


def for_shifted(descriptor: Descriptor, shift: Tensor) -> Descriptor:
    """The descriptor that makes of shifted features what `descriptor` makes of features."""
    weight = descriptor.weight.detach()
    return Descriptor(
        weight, descriptor.bias.detach() + weight @ shift, channels=descriptor.channels
    )


class Solution(NamedTuple):
    """A descriptor solved for, and the mean attraction it leaves to the entries near at first."""

    weight: Tensor
    bias: Tensor
    attraction: float


@torch.no_grad()
def solve(sums: Sums, weight: Tensor, bias: Tensor, time: float) -> Solution:
    """What gradient descent for a time makes of the weight and bias that the sums began with.

    Descent is on half the mean of |phi - c|^2, neighbours kept, over features standardised to
    variance 1 (which is what Adam's scaling comes to): of time 0 nothing but the bias changes, with
    time it comes to least squares. The bias is at its best at every moment. With S = U diag(l) U^T
    the correlation of the features, G the covariance of c - phi with them, the weight changes by
    G U diag((1 - exp(-t l)) / l) U^T. In float64; returns `weight`'s type.
    """
    count = sums.num_patches
    mean = sums.features / count
    residual = sums.residual / count
    covariance = sums.products / count - mean.outer(mean)
    covariance = (covariance + covariance.T) / 2
    pull = sums.pull / count - residual.outer(mean)
    scale = covariance.diagonal().clamp_min(0).sqrt()
    rounding = torch.finfo(torch.float32).eps * (sums.shift + mean).abs()
    scale = torch.where(scale > rounding, scale, 1)  # constant features stay as they are
    values, vectors = torch.linalg.eigh(covariance / scale.outer(scale))
    # nothing pulls in directions that the features do not span, but for rounding
    spanned = values > len(values) * torch.finfo(values.dtype).eps * values.max()
    values = torch.where(spanned, values, 1)
    gain = torch.where(spanned, -torch.expm1(-time * values) / values, 0)
    change = (pull / scale) @ (vectors * gain) @ vectors.T / scale
    before = float(sums.attraction / count)
    gained = 2 * (change * pull).sum() - ((change @ covariance) * change).sum()
    gained += residual.square().sum()
    new_weight = weight.double() + change
    new_bias = bias.double() + residual - change @ (sums.shift.double() + mean)
    return Solution(new_weight.to(weight), new_bias.to(bias), before - float(gained))
