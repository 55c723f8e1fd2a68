"""Small stand-ins that many tests share: a pyramid, a data set, the settings of a run on it."""

from pathlib import Path

import numpy as np
import torch
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from PIL import Image
from torch import Tensor

from cfa_lab.cli.schema import VERSION_BASE, to_config
from cfa_lab.config import Config, conf_dir


def make_pyramid(
    num_images: int = 3,
    channels: tuple[int, ...] = (4, 6, 5),
    grid: tuple[int, int] = (8, 6),
    *,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> list[Tensor]:
    """Random maps (n, c_l, h_l, w_l), each level half the size of the one before."""
    generator = torch.Generator().manual_seed(seed)
    height, width = grid
    return [
        torch.randn(
            num_images,
            count,
            max(1, height >> level),
            max(1, width >> level),
            generator=generator,
            dtype=dtype,
        )
        for level, count in enumerate(channels)
    ]


def write_tiny(category: Path, *, num_train: int = 5, defects: int = 3, normal: int = 3) -> None:
    """Write grey images of 40 x 48 pixels; defect images have one bright spot and a mask."""
    rng = np.random.default_rng(0)

    def write(path: Path, *, spot: bool = False) -> None:
        pixels = rng.normal(110, 12, (40, 48))
        mask = np.zeros((40, 48), dtype=np.uint8)
        if spot:
            top, left = rng.integers(4, 30, 2)
            mask[top : top + 8, left : left + 8] = 255
            pixels[mask > 0] += 90
            save(mask, category / "ground_truth" / path.parent.name / f"{path.stem}_mask.png")
        save(pixels.clip(0, 255).astype(np.uint8), path)

    def save(pixels: np.ndarray, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    for i in range(num_train):
        write(category / "train" / "good" / f"{i:03}.png")
    for i in range(normal):
        write(category / "test" / "good" / f"{i:03}.png")
    for i in range(defects):
        write(category / "test" / "spot" / f"{i:03}.png", spot=True)


TINY_RUN = [
    "dataset=mvtec",
    "category=square",
    "backbone=resnet18",
    "backbone.weights=random",
    "image.height=64",
    "image.width=64",
    "optimizer=adamw",
    "loss.learnable_radius=true",
    "trainer.epochs=3",
    "trainer.batch_size=2",
    "trainer.num_threads=1",
    "evaluation.cases=0",
    "tracker=none",
]
"""Settings of a run on `tiny_root` that takes half a second: trained by steps, without figures."""

FIGURES = "evaluation.cases=6"
"""What brings them back."""


def compose(*overrides: str) -> Config:
    """The checked configuration that the command line makes of these overrides."""
    ConfigStore.instance().store(name="schema", node=Config)
    with initialize_config_dir(**VERSION_BASE, config_dir=str(conf_dir())):
        return to_config(hydra_compose("config", overrides=list(overrides)))
