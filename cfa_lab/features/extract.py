"""From image files to their pooled feature pyramids, through the frozen backbone or the store."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfa_lab.data.depth import Depth
from cfa_lab.data.depth_found import depth_mark
from cfa_lab.data.geometry import Geometry, Placement
from cfa_lab.data.images import LoadedImage, image_size, iterate_images
from cfa_lab.data.tiles import Source, Tile, tiles_of
from cfa_lab.errors import UserError
from cfa_lab.features.entry import ImageFeatures
from cfa_lab.features.identity import circumstances, image_hash
from cfa_lab.features.networks import weights_hash
from cfa_lab.features.own import code_hash
from cfa_lab.features.store import FeatureStore, Shelf
from cfa_lab.features.stream import Stream, StreamedLevel
from cfa_lab.method.backbone import Backbone
from cfa_lab.method.precision import (
    float32_convolutions,
    float32_products,
    multiplies_faster_in_bf16,
)
from cfa_lab.method.pyramid import pool
from cfa_lab.progress import each
from cfa_lab.vocabulary import DTYPES, PRECISIONS, Dtype, Precision, one_of, within


@dataclass(frozen=True)
class FeatureBatch:
    """Some images' pooled maps (b, c_l, h_l, w_l), in the kept dtype, on the device."""

    placements: list[Placement]
    pyramid: list[Tensor]


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """Makes features the same way for training, testing and prediction.

    Images pass the backbone in batches of one fixed size, the last one padded: convolutions may
    round differently for another batch shape, but not for another place in the batch or other
    neighbours in it. `dtype`: `half` or `float32`; fresh features are rounded as stored ones are.
    `precision`: `exact` computes them in float32; `fast` takes products in bf16 where the hardware
    gains from it.
    With a `store`, features are taken from there and put there. Feature sets larger than
    `memory_gb` (10^9 bytes) are not held in memory.
    """

    backbone: Backbone
    geometry: Geometry
    device: torch.device
    dtype: Dtype
    precision: Precision
    batch_size: int
    workers: int
    store: FeatureStore | None = None
    memory_gb: float = float("inf")

    def __post_init__(self) -> None:
        one_of("features.dtype", self.dtype, DTYPES)
        one_of("features.precision", self.precision, PRECISIONS)
        within("features.batch_size", self.batch_size)
        within("features.workers", self.workers)

    def collect(self, paths: Sequence[Source]) -> list[Tensor] | list[StreamedLevel]:
        """The features of all images: levels (n, c_l, h_l, w_l).

        On the device where they fit in `memory_gb`. Else each batch is fetched when asked for, from
        the store, or from the images where there is none.
        """
        paths = self.sources(paths)
        images = each(self.images(paths), "features", len(paths), self._unit)
        if (first := next(images, None)) is None:
            return []
        num_bytes = len(paths) * sum(level.nbytes for level in first.pyramid)
        if num_bytes <= self.memory_gb * 1e9:
            return self._gather(chain([first], images), len(paths)).pyramid
        if self.store is not None:
            self._fill(self.store, paths)
        stream = Stream(
            lambda index: self._gather(self.images([paths[i] for i in index]), len(index)).pyramid
        )
        return [
            StreamedLevel(stream, i, torch.Size((len(paths), *level.shape)), self.device)
            for i, level in enumerate(first.pyramid)
        ]

    def batches(self, paths: Sequence[Source]) -> Iterator[FeatureBatch]:
        """Yield the features of `batch_size` images at a time, in order; the last may be fewer."""
        paths = self.sources(paths)
        images = self.images(paths)
        for start in range(0, len(paths), self.batch_size):
            yield self._gather(images, min(self.batch_size, len(paths) - start))

    def features_of(self, loaded: Sequence[LoadedImage]) -> FeatureBatch:
        """The features of at most `batch_size` inputs that are decoded already, past the store."""
        return self._gather(iter(self._extract(loaded)), len(loaded))

    def sources(self, paths: Sequence[Source]) -> Sequence[Source]:
        """What becomes one input each: the images, or, with `image.resize=tile`, their tiles."""
        if self.geometry.resize != "tile":
            return paths
        images = [path for path in paths if isinstance(path, Path)]
        return tiles_of(images, map(image_size, images), self.geometry)

    def images(self, paths: Sequence[Source]) -> Iterator[ImageFeatures]:
        """Yield the features of each image, in order, while threads decode those to come."""
        if self.store is None:
            for loaded in self._decoded(paths):
                yield from self._extract(loaded)
            return
        shelf = self.store.shelf(self.identity())
        hashes = self._hashes(paths)
        there = [shelf.claim(image) for image in hashes]
        new = [i for i, known in enumerate(there) if not known]
        made = self._make(shelf, [paths[i] for i in new], [hashes[i] for i in new])
        for path, image, known in zip(paths, hashes, there, strict=True):
            if not known:
                yield next(made)
            elif (features := shelf.read(image)) is not None:
                yield features
            else:
                yield from self._make(shelf, [path], [image])

    def identity(self) -> dict[str, Any]:
        """Everything but the image that decides the last bit of its features, as JSON values.

        A field of this class counts unless it is known not to matter.
        """
        without = ("backbone", "geometry", "device", "workers", "store", "memory_gb", "precision")
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in without}
        architecture = asdict(self.backbone.architecture)
        code = code_hash(architecture["model"])
        return {
            "backbone": architecture | {"layers": list(architecture["layers"])},
            **({} if code is None else {"code": code}),
            "weights": self.weights_hash,
            "image": self.geometry.decisive(),
            **own,
            "bf16": self.rounds,
            **circumstances(self.device),
        }

    @cached_property
    def weights_hash(self) -> str:
        """The hash of the backbone's weights."""
        return weights_hash(self.backbone.network)

    def pyramid(self, pixels: Sequence[np.ndarray]) -> list[Tensor]:
        """Pooled maps of at most `batch_size` images (h, w, 3), uint8 or float32 in 0..255.

        Raises UserError where a value is no finite number, or too large for half precision.
        """
        self.backbone.to(self.device)
        dtype: torch.dtype = getattr(torch, self.dtype)  # the words are torch's names
        deep = any(image.dtype != np.uint8 for image in pixels)
        shape = (self.batch_size, *self.geometry.input_size, 3)
        batch = torch.zeros(shape, dtype=torch.float32 if deep else torch.uint8)
        for row, image in zip(batch, pixels, strict=False):
            row.copy_(torch.from_numpy(image))
        with (
            float32_convolutions(self.device),
            float32_products(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.rounds),
        ):
            maps = self.backbone(batch.to(self.device).movedim(-1, 1))  # (b, 3, h, w)
        levels = [pool(level)[: len(pixels)].to(dtype) for level in maps]
        if not all(level.isfinite().all() for level in levels):
            model = self.backbone.architecture.model
            if self.dtype == "half":
                raise UserError(
                    f"features of {model} overflow half precision (above 65504) or are not "
                    "numbers; use features.dtype=float32"
                )
            raise UserError(
                f"features of {model} are not finite numbers; look at its weights, or use another "
                "backbone"
            )
        return levels

    @property
    def rounds(self) -> bool:
        """Whether the backbone multiplies in bf16."""
        return self.precision == "fast" and multiplies_faster_in_bf16(self.device)

    @property
    def _unit(self) -> str:
        return "tiles" if self.geometry.resize == "tile" else "images"

    def _decoded(self, paths: Sequence[Source]) -> Iterator[list[LoadedImage]]:
        return iterate_images(
            paths, self.geometry, batch_size=self.batch_size, workers=self.workers
        )

    def _extract(self, loaded: Sequence[LoadedImage]) -> list[ImageFeatures]:
        pyramid = self.pyramid([image.pixels for image in loaded])
        return [
            ImageFeatures(image.placement, [level[i] for level in pyramid])
            for i, image in enumerate(loaded)
        ]

    def _make(
        self, shelf: Shelf, paths: Sequence[Source], hashes: Sequence[str]
    ) -> Iterator[ImageFeatures]:
        """Extract and store images, but those that another process has made meanwhile."""
        waiting = iter(hashes)
        for loaded in self._decoded(paths):
            batch = list(islice(waiting, len(loaded)))
            with shelf.lock(batch[0]):
                found = [features for image in batch if (features := shelf.read(image)) is not None]
                if len(found) < len(batch):
                    found = self._extract(loaded)
                    for image, features in zip(batch, found, strict=True):
                        shelf.write(image, features)
            yield from found

    def _fill(self, store: FeatureStore, paths: Sequence[Source]) -> None:
        """Store what is not there yet, in full batches; training asks for smaller ones."""
        shelf = store.shelf(self.identity())
        there = [shelf.claim(image) for image in self._hashes(paths)]
        new = [path for path, known in zip(paths, there, strict=True) if not known]
        for _ in each(self.images(new), "features", len(new), self._unit):
            if store.full:
                break

    def _gather(self, images: Iterator[ImageFeatures], num_images: int) -> FeatureBatch:
        """Lay the next images side by side; their layout in memory is always the same."""
        placements: list[Placement] = []
        levels: list[Tensor] = []
        for i, image in enumerate(islice(images, num_images)):
            levels = levels or [
                torch.empty(
                    (num_images, *level.shape),
                    dtype=level.dtype,
                    device=self.device,
                    memory_format=torch.channels_last,
                )
                for level in image.pyramid
            ]
            for level, part in zip(levels, image.pyramid, strict=True):
                level[i] = part
            placements.append(image.placement)
        return FeatureBatch(placements, levels)

    def _hashes(self, paths: Sequence[Source]) -> list[str]:
        with ThreadPoolExecutor(self.workers) as pool:
            hashes = pool.map(partial(_source_hash, depth=self.geometry.depth), paths)
            return list(each(hashes, "reading", len(paths), self._unit))


def _source_hash(source: Source, depth: Depth) -> str:
    path, tile = (source.path, f"-{source.index}") if isinstance(source, Tile) else (source, "")
    name, mark = image_hash(path), depth_mark(path, depth)
    if mark:
        name = hashlib.sha256(f"{name}{mark}".encode()).hexdigest()[:32]
    return f"{name}{tile}"
