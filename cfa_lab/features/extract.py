"""Runs images through the frozen backbone and keeps their pooled feature pyramids."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cfa_lab.data.geometry import Geometry
from cfa_lab.data.images import LoadedImage, iterate_images
from cfa_lab.method.backbone import Backbone
from cfa_lab.method.pyramid import pool

DTYPES = {"half": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class FeatureBatch:
    """Some images and their pooled maps (b, c_l, h_l, w_l), in the kept dtype, on the device."""

    images: list[LoadedImage]
    pyramid: list[Tensor]


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """Makes features the same way for training, testing and prediction.

    Images pass the backbone in batches of one fixed size, the last one padded: convolutions may
    round differently for another batch shape. `dtype`: `half` or `float32`; test features are
    rounded as the stored training features are.
    """

    backbone: Backbone
    geometry: Geometry
    device: torch.device
    dtype: str
    batch_size: int
    workers: int

    def batches(self, paths: Sequence[Path]) -> Iterator[FeatureBatch]:
        """Decode images in threads and yield their features, in order."""
        self.backbone.to(self.device)
        loaded = iterate_images(
            paths, self.geometry, batch_size=self.batch_size, workers=self.workers
        )
        for images in loaded:
            yield FeatureBatch(images, self.pyramid([image.pixels for image in images]))

    def pyramid(self, pixels: Sequence[np.ndarray]) -> list[Tensor]:
        """Pooled maps of at most `batch_size` images (h, w, 3) uint8."""
        batch = torch.zeros(self.batch_size, *self.geometry.input_size, 3, dtype=torch.uint8)
        for row, image in zip(batch, pixels, strict=False):
            row.copy_(torch.from_numpy(image))
        levels = self.backbone(batch.to(self.device).movedim(-1, 1))  # (b, 3, h, w)
        return [pool(level)[: len(pixels)].to(DTYPES[self.dtype]) for level in levels]

    def collect(self, paths: Sequence[Path]) -> list[Tensor]:
        """The features of all images, on the device: levels (n, c_l, h_l, w_l)."""
        levels: list[Tensor] = []
        start = 0
        for batch in self.batches(paths):
            if not levels:
                levels = [
                    torch.empty(
                        len(paths), *level.shape[1:], dtype=level.dtype, device=self.device
                    ).contiguous(memory_format=torch.channels_last)
                    for level in batch.pyramid
                ]
            for level, part in zip(levels, batch.pyramid, strict=True):
                level[start : start + len(part)] = part
            start += len(batch.images)
        return levels
