"""From Hydra's configuration object to checked dataclasses."""

from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cfa_lab.config import Config
from cfa_lab.errors import UserError


def to_config(cfg: DictConfig) -> Config:
    """Turn Hydra's configuration into checked dataclasses; raises UserError for unknown keys."""
    _refuse_unknown(cfg, Config, "")
    return OmegaConf.to_object(cfg)  # pyright: ignore[reportReturnType]


def unknown_key(name: str, known: list[str]) -> str:
    """The message about a key that is none of `known`."""
    matches = get_close_matches(name, known, n=1)
    close = f" (did you mean {matches[0]!r}?)" if matches else ""
    return f"unknown key {name!r}{close}; python -m cfa_lab --cfg job shows all keys"


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
            raise UserError(unknown_key(name, [f"{prefix}{other}" for other in known]))
        if is_dataclass(known[str(key)]) and not OmegaConf.is_missing(node, key):
            _refuse_unknown(node[key], known[str(key)], f"{name}.")
