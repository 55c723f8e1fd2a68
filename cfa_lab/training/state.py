"""A fit on its way: all that changes while it goes on, and who is told."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cfa_lab.config import Settings
from cfa_lab.method.closed_form import Sums
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.loss import HypersphereLoss
from cfa_lab.method.memory_bank import BankMaker
from cfa_lab.method.pyramid import StoredLevel
from cfa_lab.records.history import Row
from cfa_lab.training.order import Batches


@dataclass(kw_only=True)
class Fit:
    """The parts of a fit, and where it stands."""

    settings: Settings
    seed: int
    levels: Sequence[StoredLevel]
    """Pooled maps (n, c_l, h_l, w_l) of the training images."""
    epochs: Iterable[Batches]
    """The order of each epoch that is trained by steps."""
    loss: HypersphereLoss
    make_bank: BankMaker
    descriptor: Descriptor
    bank: Tensor
    """The entries (m, d) that the descriptor is fitted to."""
    radius: nn.Parameter
    optimizer: torch.optim.Optimizer | None
    """None where the descriptor is solved for."""
    next_epoch: int = 0
    next_step: int = 0
    sums: Sums | None = None
    """Of a solution on its way, those of the first `next_image` images."""
    next_image: int = 0


@dataclass
class Observer:
    """Told how a fit goes. All of it is optional."""

    step: Callable[[Row], None] = lambda row: None
    """Gets each line of the history, in order."""
    image: Callable[[Fit], None] = lambda fit: None
    """Called after each image of a pass that solves for the descriptor."""
    epoch: Callable[[Fit], None] = lambda fit: None
    """Called after each epoch."""
