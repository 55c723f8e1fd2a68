"""A training step by torch's own differentiation: for any device, and the judge of other steps."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.gradients import Gradients, Portion
from cfa_lab.method.loss import HypersphereLoss
from cfa_lab.method.neighbours import NeighbourSearch
from cfa_lab.method.pyramid import StoredLevel, take


class AutogradStep:
    """Loss and gradients by torch's own differentiation, on any device.

    The memory bank (m, d) must not change meanwhile. `radius` is a scalar, trained or not.
    """

    def __init__(self, descriptor: Descriptor, radius: Tensor, bank: Tensor, loss: HypersphereLoss):
        self.descriptor = descriptor
        self.radius = radius
        self.loss = loss
        self.search = NeighbourSearch(bank)

    def gradients(self, levels: Sequence[StoredLevel], portions: Sequence[Portion]) -> Gradients:
        """Of the loss over some images of stored maps (n, c_l, h_l, w_l), added up in order."""
        first, *others = (self._portion(levels, *portion) for portion in portions)
        for other in others:
            for total, part in zip(first, other, strict=True):
                total.add_(part)
        return first

    def _portion(self, levels: Sequence[StoredLevel], index: np.ndarray, share: float) -> Gradients:
        radius = self.radius.detach().requires_grad_()
        weight, bias = self.descriptor.weight, self.descriptor.bias
        phi = self.descriptor(take(levels, index, weight)).flatten(0, 1)
        terms = self.loss(self.search.squared_distances(phi, self.loss.num_neighbours), radius)
        grads = torch.autograd.grad(share * terms.total, [weight, bias, radius])
        return Gradients(share * terms.numbers, *grads)
