"""What a training step gives: the loss over some images, and its gradients."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor

from cfa_lab.method.pyramid import StoredLevel

Portion = tuple[np.ndarray, float]
"""Some image indices of a batch, and their share of it."""


class Gradients(NamedTuple):
    """What an optimizer needs to know, of the mean loss over a batch's images."""

    numbers: Tensor
    """(4,), as `LossTerms.numbers`."""
    weight: Tensor
    """(d, columns)."""
    bias: Tensor
    """(d,)."""
    radius: Tensor
    """A scalar."""


class Step(Protocol):
    """Something that differentiates the loss at the parameters as they are."""

    def gradients(
        self, levels: Sequence[StoredLevel], portions: Sequence[Portion]
    ) -> Gradients: ...
