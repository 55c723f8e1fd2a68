"""Where the configuration files are, and presets read from them without Hydra."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from cfa_lab.config.settings import Settings
from cfa_lab.errors import UserError
from cfa_lab.vocabulary import one_of


def conf_dir() -> Path:
    """The configuration files' folder: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parent / "conf", package / "conf"):
        if (folder / "backbone" / "wide_resnet50.yaml").is_file():
            return folder
    raise UserError(f"no configuration files beside {package}; install cfa_lab again")


def presets() -> tuple[str, ...]:
    """The names of all presets, sorted: those of the files in `conf/preset/`."""
    return tuple(sorted(path.stem for path in (conf_dir() / "preset").glob("*.yaml")))


def load_settings(preset: str) -> Settings:
    """The settings of a preset, read from `conf/` without Hydra."""
    one_of("preset", preset, presets())
    folder = conf_dir()
    groups = [group.name for group in fields(Settings)]
    own: Any = OmegaConf.load(folder / "config.yaml")
    defaults = {
        group: OmegaConf.merge(own.get(group, {}), OmegaConf.load(folder / group / "default.yaml"))
        for group in groups
    }
    values: Any = OmegaConf.load(folder / "preset" / f"{preset}.yaml")
    chosen = OmegaConf.masked_copy(values, [group for group in groups if group in values])
    merged = OmegaConf.merge(OmegaConf.structured(Settings), defaults, chosen)
    return OmegaConf.to_object(merged)  # pyright: ignore[reportReturnType]
