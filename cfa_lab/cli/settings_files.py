"""The settings in a run folder, `.hydra/`: what Hydra writes there, several times as fast."""

from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from cfa_lab.files import write_atomically
from cfa_lab.records import names
from cfa_lab.records.folders import is_kept

WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false"}
"""Texts, in lower case, that some reader of YAML takes for yes or no."""


def save_settings(
    folder: Path, cfg: DictConfig, hydra_config: Any, *, durable: bool = True
) -> None:
    """Write `.hydra/` as Hydra does, but not before training begins.

    A run that goes on keeps the settings it was started with. The part that is ours is taken from
    `cfg`, Hydra's from `hydra_config`; `durable` as for `replacing`.
    """
    if has_settings(folder):
        return
    (folder / names.SETTINGS).mkdir(exist_ok=True)
    values: Any = OmegaConf.to_container(cfg, enum_to_str=True)
    values.pop("hydra", None)
    hydra: Any = OmegaConf.to_container(hydra_config.hydra, enum_to_str=True)
    task = [a for a in hydra["overrides"]["task"] if not a.startswith("resume=")]
    for name, content in (
        (names.CONFIG, values),
        (names.HYDRA, {"hydra": hydra}),
        (names.OVERRIDES, task),
    ):
        write_atomically(folder / name, to_yaml(content), durable=durable)


def has_settings(folder: Path) -> bool:
    """Whether a folder has the settings of the run that it keeps."""
    return (folder / names.OVERRIDES).is_file() and is_kept(folder)


def to_yaml(values: Any) -> str:
    """Plain values as text, as `OmegaConf.to_yaml` has it; by libyaml where it is installed."""
    return yaml.dump(
        values, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False
    )


_Fastest: Any = getattr(yaml, "CDumper", yaml.Dumper)


class _Dumper(_Fastest):
    """With texts in quotes that a reader would take for something else."""


def _represent_text(dumper: Any, text: str) -> yaml.ScalarNode:
    tag = yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG
    return dumper.represent_scalar(tag, text, style="'" if _is_ambiguous(text) else None)


_Dumper.add_representer(str, _represent_text)


def _is_ambiguous(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.lower() in WORDS
    return True
