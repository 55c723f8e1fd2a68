"""From Hydra's configuration object to checked dataclasses."""

from dataclasses import fields, is_dataclass
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from cfa_lab.cli.nearby import unknown_key
from cfa_lab.config import Config
from cfa_lab.errors import UserError

FROM_1_4 = tuple(map(int, hydra.__version__.split(".")[:2])) >= (1, 4)
VERSION_BASE: dict[str, Any] = {} if FROM_1_4 else {"version_base": "1.3"}
"""What Hydra wants to be told of the version whose defaults hold: from 1.4 on nothing."""
TRUSTED: dict[str, Any] = (
    {"execution_whitelist": ("cfa_lab.*", "hydra.*", "hydra_plugins.*")} if FROM_1_4 else {}
)
"""Whose classes a configuration may name, as Hydra asks from 1.4 on."""


def to_config(cfg: DictConfig) -> Config:
    """Turn Hydra's configuration into checked dataclasses; raises UserError for unknown keys."""
    _refuse_unknown(cfg, Config, "")
    return OmegaConf.to_object(cfg)  # pyright: ignore[reportReturnType]


def dotted_keys(schema: Any = Config, prefix: str = "") -> list[str]:
    """Every key of the schema, groups too, as it is typed on the command line."""
    keys = []
    for field in fields(schema):
        keys.append(f"{prefix}{field.name}")
        if is_dataclass(field.type):
            keys += dotted_keys(field.type, f"{prefix}{field.name}.")
    return keys


def _refuse_unknown(node: DictConfig, schema: Any, prefix: str) -> None:
    known = {field.name: field.type for field in fields(schema)}
    for key in node:
        name = f"{prefix}{key}"
        if key not in known:
            raise UserError(unknown_key(name, dotted_keys()))
        if is_dataclass(known[str(key)]) and not OmegaConf.is_missing(node, key):
            _refuse_unknown(node[key], known[str(key)], f"{name}.")
