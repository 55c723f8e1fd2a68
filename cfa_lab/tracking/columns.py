"""The settings that runs are compared by, under plain names that W&B's panels can address.

W&B reads a dot in a name as a step into a nested setting, a sweep adds its own `loss.K` beside a
run's `loss: {K: ...}`, and a sweep over `backbone` takes the place of the whole nested group. So
what panels and sorting use stands once, flat, and the complete settings stand apart.
"""

from collections.abc import Mapping
from typing import Any

COLUMNS = {
    "dataset": "dataset.name",
    "category": "category",
    "seed": "seed",
    "preset": "preset",
    "backbone": "backbone.name",
    "K": "loss.K",
    "J": "loss.J",
    "r": "loss.r",
    "alpha": "loss.alpha",
    "nu": "loss.nu",
    "bank": "memory_bank.kind",
    "gamma_c": "memory_bank.gamma_c",
    "gamma_d": "descriptor.gamma_d",
    "optimizer": "optimizer.name",
    "time": "optimizer.time",
    "lr": "optimizer.lr",
    "epochs": "trainer.epochs",
}
"""Name of a column on W&B -> the configuration's key."""


def comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A run's configuration for W&B: the flat columns, and all nested settings below `settings`."""
    columns = {}
    for column, key in COLUMNS.items():
        value: Any = settings
        for part in key.split("."):
            value = value[part]
        columns[column] = value
    return {**columns, "settings": dict(settings)}
