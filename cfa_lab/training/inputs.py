"""What a caller hands in for a fit, checked."""

import operator
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfa_lab.config import Settings
from cfa_lab.errors import UserError
from cfa_lab.method.neighbours import measurable
from cfa_lab.method.pyramid import StoredLevel, pool, select
from cfa_lab.training.order import Batches
from cfa_lab.vocabulary import BOUNDS

POOL_BATCH = 16


def with_values(settings: Settings, **groups: dict[str, Any]) -> Settings:
    """A copy of settings in which every value given (not None) replaces the group's."""
    changed = {}
    for group, values in groups.items():
        given = {name: value for name, value in values.items() if value is not None}
        for name, value in given.items():
            if BOUNDS[f"{group}.{name}"].whole:
                given[name] = whole(f"{group}.{name}", value)
        changed[group] = replace(getattr(settings, group), **given)
    return replace(settings, **changed)


def whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise UserError(f"{name} is {value!r}; must be a whole number") from None


def checked_levels(levels: Sequence[Any]) -> list[StoredLevel]:
    """Levels as they are (memory maps stay on disk) or as arrays, after a look at their shapes."""
    maps = [level if hasattr(level, "shape") else np.asanyarray(level) for level in levels]
    shapes = [tuple(level.shape) for level in maps]
    if not maps or any(len(shape) != 4 for shape in shapes):
        raise UserError(f"levels must be maps (n, c, h, w), one per backbone level; got {shapes}")
    if len({shape[0] for shape in shapes}) != 1:
        raise UserError(f"levels disagree on the number of images: {shapes}")
    if shapes[0][0] == 0:
        raise UserError("levels hold no image; at least 1 normal image is needed to train")
    sizes = [shape[2:] for shape in shapes]
    if any(h < next_h or w < next_w for (h, w), (next_h, next_w) in pairwise(sizes)):
        raise UserError(f"levels must run from fine to coarse; their sizes are {sizes}")
    return maps


def not_too_large(bank: Tensor) -> Tensor:
    """The memory bank; raises UserError for numbers so large that their distances are none."""
    if bank.isfinite().all() and not measurable(bank).all():
        raise UserError(
            f"features reach {float(bank.abs().max()):.1e} in the memory bank, too much for a "
            "squared distance in float32; scale them down"
        )
    return bank


def pool_all(level: StoredLevel) -> Tensor:
    """Pool the maps of all images, a few at a time."""
    starts = range(0, len(level), POOL_BATCH)
    return torch.cat([pool(select(level, slice(i, i + POOL_BATCH)).float()) for i in starts])


def indices(batches: Sequence[Any], name: str, num_images: int) -> Batches:
    arrays = [np.asarray(batch, dtype=np.int64) for batch in batches]
    if any(a.size == 0 or a.min() < 0 or a.max() >= num_images for a in arrays):
        raise UserError(f"{name} must hold image indices 0 to {num_images - 1} and no empty batch")
    return arrays
