"""The coupled-hypersphere loss and its gradients, compiled: `HypersphereLoss` in one pass."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cfa_lab.method.cpu.compiled import compiled
from cfa_lab.method.loss import HypersphereLoss


class Terms(NamedTuple):
    """A loss at one radius, as the compiled code takes it."""

    weights: Any
    """(2,): what an attracted and a repelled pair weigh, 1/nu and the mean included."""
    r2: float
    alpha: float
    """With its sign."""
    num_attracting: int
    start: int
    stop: int
    """The range of neighbours that are repelled."""
    as_is: bool
    """Whether r^2 is compared with squared distances."""


def terms_of(
    loss: HypersphereLoss, radius: float, *, num_patches: int, share: float, dtype: torch.dtype
) -> Terms:
    """A loss at radius r as a mean over so many patches, all of it times `share`."""
    start, stop = loss.repelled.start, loss.repelled.stop
    pairs = num_patches * np.maximum([loss.K, stop - start], 1)
    weights = torch.tensor(share / (loss.nu * pairs), dtype=dtype).numpy()
    return Terms(weights, radius**2, loss.signed_alpha, loss.K, start, stop, loss.squared)


def numbers_of(terms: Terms, sums: Any, nu: float) -> Tensor:
    """`LossTerms.numbers` (4,), times the share, of what `judge_rows` has summed up."""
    return torch.from_numpy(np.concatenate([terms.weights * sums[0], nu * terms.weights * sums[1]]))


def radius_gradient(terms: Terms, sums: Any, radius: float) -> float:
    """The gradient of the radius, of what `judge_rows` has summed up."""
    return 2 * radius * float(terms.weights[1] * sums[1, 1] - terms.weights[0] * sums[1, 0])


@compiled
def judge_rows(terms: Terms, squared, grad, sums):
    """Fill in the gradient of ascending squared distances (q, k).

    Where k is less than K + J, the entries beyond count as too far to be repelled (`num_felt`).
    Adds to `sums` (2, 2): how far pairs are off their goal, and how many are; of attracted pairs
    and of repelled ones.
    """
    attracting, repelling = terms.weights
    for row in range(squared.shape[0]):
        for i in range(squared.shape[1]):
            distance, slope = squared[row, i], squared.dtype.type(1)
            if not terms.as_is:
                distance = np.sqrt(distance)
                slope = squared.dtype.type(0.5 / distance if distance != 0 else 0.0)
            pull = squared.dtype.type(0)
            outside = distance - terms.r2
            if i < terms.num_attracting and not outside <= 0:  # NaN counts, so that it is noticed
                sums[0, 0] += outside
                sums[1, 0] += 1
                pull += attracting
            inside = terms.r2 - distance - terms.alpha
            if terms.start <= i < terms.stop and not inside <= 0:
                sums[0, 1] += inside
                sums[1, 1] += 1
                pull -= repelling
            grad[row, i] = pull * slope
