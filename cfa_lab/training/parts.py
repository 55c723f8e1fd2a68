"""The parts of a fit, made from settings: descriptor, loss, optimizer and scoring."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from cfa_lab.config import Settings
from cfa_lab.errors import UserError
from cfa_lab.method.cpu.projection import ProjectedBank
from cfa_lab.method.cpu.step import CpuStep
from cfa_lab.method.descriptor import Descriptor, new_descriptor
from cfa_lab.method.gradients import Step
from cfa_lab.method.loss import HypersphereLoss
from cfa_lab.method.precision import multiplies_faster_in_bf16
from cfa_lab.method.scoring import Scoring
from cfa_lab.method.step import AutogradStep
from cfa_lab.vocabulary import ALPHA_SIGNS, NEGATIVES, PRECISIONS, one_of


def make_descriptor(
    settings: Settings,
    channels: list[int],
    *,
    dimension_factor: int,
    seed: int,
    initial_weight: Any = None,
    initial_bias: Any = None,
) -> Descriptor:
    """A seeded descriptor, or one from an initial weight (d, columns) and bias (d,), as float32."""
    dimension = dimension_factor * sum(channels) // settings.descriptor.gamma_d
    if dimension < 1:
        raise UserError(
            f"descriptor.gamma_d={settings.descriptor.gamma_d} leaves no dimension of "
            f"{sum(channels)} features; it must be at most {sum(channels)}"
        )
    descriptor = new_descriptor(
        channels,
        dimension,
        init=settings.descriptor.init,
        with_coordinates=settings.descriptor.coordinates,
        generator=torch.Generator().manual_seed(seed),
    )
    if initial_weight is None and initial_bias is None:
        return descriptor
    weight = descriptor.weight if initial_weight is None else torch.as_tensor(initial_weight)
    bias = descriptor.bias if initial_bias is None else torch.as_tensor(initial_bias)
    columns = descriptor.weight.shape[1]
    rows = dimension if initial_bias is None else "d"  # both together may choose d
    if weight.ndim != 2 or weight.shape[1] != columns or rows not in ("d", len(weight)):
        raise UserError(
            f"initial_weight has the shape {tuple(weight.shape)}; needed: ({rows}, {columns})"
        )
    if bias.shape != weight.shape[:1]:
        raise UserError(f"initial_bias has the shape {tuple(bias.shape)}; needed: ({len(weight)},)")
    weight, bias = (given.detach().clone().to(descriptor.weight.dtype) for given in (weight, bias))
    return Descriptor(weight, bias, channels=channels)


def make_loss(settings: Settings, *, num_entries: int) -> HypersphereLoss:
    """The loss, checked against the number of memory-bank entries it will look at."""
    values = settings.loss
    if values.learnable_radius and values.r == 0:
        raise UserError(
            "loss.r is 0 and cannot be learned from there, since its gradient is a multiple of it; "
            "give it a value above 0 or set loss.learnable_radius=false"
        )
    if num_entries < values.K + values.J:
        raise UserError(
            f"loss.K + loss.J is {values.K} + {values.J} but the memory bank has {num_entries} "
            "entries; lower K, J or memory_bank.gamma_c"
        )
    return HypersphereLoss(
        K=values.K,
        J=values.J,
        alpha=values.alpha,
        nu=values.nu,
        negatives=one_of("loss.negatives", values.negatives, NEGATIVES),
        alpha_sign=one_of("loss.alpha_sign", values.alpha_sign, ALPHA_SIGNS),
        squared=values.squared,
    )


def make_optimizer(
    settings: Settings, descriptor: Descriptor, radius: nn.Parameter
) -> torch.optim.Optimizer | None:
    """AdamW over the descriptor and, where it is learned, the radius; None for `closed_form`."""
    values = settings.optimizer
    if values.name == "closed_form":
        return None
    parameters = [p for p in (descriptor.weight, descriptor.bias, radius) if p.requires_grad]
    return torch.optim.AdamW(
        parameters,
        lr=values.lr,
        weight_decay=values.weight_decay,
        amsgrad=values.amsgrad,
        fused=True,
    )


def make_scoring(settings: Settings) -> Scoring:
    """The scoring that settings describe."""
    values: dict[str, Any] = asdict(settings.scoring)
    values["num_neighbours"] = settings.num_score_neighbours
    return Scoring(**values)


def make_step(
    descriptor: Descriptor, radius: Tensor, bank: Tensor, loss: HypersphereLoss, *, precision: str
) -> Step:
    """The quickest way to differentiate the loss where the bank is.

    Where bf16 products gain, they always propose neighbours; `fast` also describes with them.
    """
    fast = one_of("trainer.precision", precision, PRECISIONS) == "fast"
    if bank.device.type != "cpu":
        return AutogradStep(descriptor, radius, bank, loss)
    gains = bank.dtype == torch.float32 and multiplies_faster_in_bf16(bank.device)
    projected = ProjectedBank(bank, rounded=gains)
    return CpuStep(descriptor, radius, projected, loss, rounded=gains and fast)
