"""The schema of a run's configuration: every key, its meaning and its checks.

The values stand in `conf/`: one file per group, presets and experiments on top. These dataclasses
give them types and bounds; `load_settings` reads the part that the method itself needs without
Hydra, for library users.
"""

import re
from dataclasses import dataclass

from omegaconf import MISSING

from cfa_lab.config.inputs import BackboneSettings, DatasetSettings, FeaturesSettings, ImageSettings
from cfa_lab.config.outputs import EvaluationSettings, TrackerSettings
from cfa_lab.config.presets import conf_dir, load_settings
from cfa_lab.config.settings import Settings
from cfa_lab.errors import UserError
from cfa_lab.vocabulary import within

__all__ = ["Config", "Settings", "conf_dir", "load_settings"]


@dataclass(kw_only=True)
class Config(Settings):
    """One run."""

    category: str = MISSING
    """A category of the data set; `all` stands for each of them in a multirun."""
    seed: int = MISSING
    """Of the descriptor's start, the order of images and K-means."""
    device: str = MISSING
    """`auto`, `cpu`, `cuda` or `cuda:<number>`."""
    preset: str = MISSING
    """Name of the reading of CFA that set the values, a file in `conf/preset/`."""
    resume: str = MISSING
    """`auto`, `never`, or an unfinished run's folder to continue."""
    backbone: BackboneSettings = MISSING
    dataset: DatasetSettings = MISSING
    image: ImageSettings = MISSING
    features: FeaturesSettings = MISSING
    evaluation: EvaluationSettings = MISSING
    tracker: TrackerSettings = MISSING

    def __post_init__(self) -> None:
        super().__post_init__()
        within("seed", self.seed)
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise UserError(f"device is {self.device!r}; allowed: auto, cpu, cuda, cuda:<number>")
