"""What is measured on a device and on how much: made-up images, their maps, and its clock."""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfa_lab.bench.clock import median_seconds
from cfa_lab.bench.run import architecture
from cfa_lab.data.geometry import Geometry
from cfa_lab.features.extract import Extractor
from cfa_lab.features.networks import make_network
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.vocabulary import Precision

BATCH_SIZE = 4
"""Images of a training step."""
WORKERS = min(os.cpu_count() or 1, 16)
"""Threads that decode images: a GPU would wait for the usual two."""


@dataclass(frozen=True)
class Setting:
    """What is measured, and on how much."""

    device: str
    backbone: str
    num_train: int
    num_test: int
    size: int
    """Height and width of the images, in pixels."""
    repeats: int
    """Times that a part is timed; the median counts."""
    batch_sizes: tuple[int, ...]
    """Of extraction and prediction."""

    @property
    def where(self) -> torch.device:
        """The device."""
        return torch.device(self.device)

    def timed(self, work: Callable[[], Any]) -> float:
        """Seconds of some work on the device."""
        return median_seconds(work, self.where, self.repeats)

    def extractor(
        self, batch_size: int, precision: Precision = "exact", device: str | None = None
    ) -> Extractor:
        """Makes features as a run of the default settings does."""
        parts = architecture(self.backbone)
        network = Backbone(Architecture(**parts), make_network(parts["model"], weights="random"))
        return Extractor(
            backbone=network,
            geometry=Geometry(resize="stretch", height=self.size, width=self.size),
            device=torch.device(device or self.device),
            dtype="half",
            precision=precision,
            batch_size=batch_size,
            workers=WORKERS,
        )

    def pixels(self, num_images: int) -> list[np.ndarray]:
        """Decoded images: noise on one texture."""
        generator = np.random.default_rng(0)
        texture = generator.integers(60, 200, (self.size, self.size, 3))
        noise = (generator.integers(-20, 20, texture.shape) for _ in range(num_images))
        return [(texture + one).clip(0, 255).astype(np.uint8) for one in noise]

    def maps(self, num_images: int) -> list[Tensor]:
        """The backbone's own maps (n, c_l, h_l, w_l) of decoded images, float32."""
        backbone = self.extractor(num_images).backbone.to(self.where)
        pixels = torch.from_numpy(np.stack(self.pixels(num_images))).to(self.where)
        return backbone(pixels.movedim(-1, 1))

    def levels(self, num_images: int, device: str | None = None) -> list[Tensor]:
        """Pooled maps (n, c_l, h_l, w_l) of decoded images, as training gets them."""
        largest = max(self.batch_sizes)
        extractor = self.extractor(largest, device=device)
        pixels = self.pixels(num_images)
        batches = [
            extractor.pyramid(pixels[i : i + largest]) for i in range(0, num_images, largest)
        ]
        return [torch.cat(level) for level in zip(*batches, strict=True)]


@contextmanager
def device_memory(setting: Setting, into: dict[str, Any]) -> Generator[None]:
    """Note the device's peak memory meanwhile, in bytes; of the CPU nothing is said."""
    if setting.where.type != "cuda":
        yield
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(setting.where)
    yield
    into["peak_device_bytes"] = torch.cuda.max_memory_allocated(setting.where)
