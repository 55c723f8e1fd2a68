"""Score maps of images: from the extractor and the detector to the original image's pixels."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cfa_lab.data.geometry import Geometry, Placement, Size
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.data.tiles import merge
from cfa_lab.features.extract import Extractor
from cfa_lab.method.detector import Detector
from cfa_lab.method.neighbours import Neighbours
from cfa_lab.method.pyramid import patch_grid
from cfa_lab.progress import each
from cfa_lab.records.maps import write_map


@dataclass(frozen=True)
class ScoredImage:
    """One image's scores."""

    sample: Sample
    placement: Placement
    patch_scores: Tensor
    """(h, w) of the patch grid, float32 on CPU; the map follows from it."""
    score: float
    canvas: Size | None = None
    """Height and width that the patch grid covers: the input's, or those of all tiles together."""
    map_values: np.ndarray | None = None
    """At most `MOST_VALUES` values of the map, evenly spaced: what a colour scale is made for."""


MOST_VALUES = 4096


def thinned(values: np.ndarray) -> np.ndarray:
    """At most `MOST_VALUES` of some values, evenly spaced, and the largest of all."""
    flat = values.ravel()
    return np.append(flat[:: -(-len(flat) // (MOST_VALUES - 1))], flat.max())


See = Callable[[Sample, Placement, Size, Neighbours], None]
"""Told of an image's input: where it lies, its patch grid, and the neighbours of its patches."""


def score_images(
    detector: Detector,
    extractor: Extractor,
    table: SampleTable,
    samples: Sequence[Sample],
    *,
    see: See | None = None,
) -> Iterator[tuple[ScoredImage, Tensor]]:
    """Score images in order; yields each with its map (h, w) of the scored window."""
    geometry = extractor.geometry
    images = inputs_of_images(extractor, table, samples)
    for sample, inputs in each(images, "scoring", len(samples)):
        parts = []
        for placement, pyramid in inputs:
            told = see and partial(see, sample, placement, patch_grid(pyramid))
            parts.append((placement, detector.patch_scores(pyramid, told)))
        found = score_of_parts(detector, geometry, parts)
        canvas = geometry.canvas(found.placement.original)
        scored = ScoredImage(
            sample,
            found.placement,
            found.patch_scores[0].float().cpu(),
            found.score,
            canvas,
            thinned(found.window_map.cpu().numpy()),
        )
        yield scored, found.window_map


class ScoreOfParts(NamedTuple):
    """What an image's parts give together."""

    placement: Placement
    patch_scores: Tensor
    """(1, h, w) of the patch grid."""
    score: float
    window_map: Tensor
    """(h, w) of the scored window of the original image."""


def score_of_parts(
    detector: Detector, geometry: Geometry, parts: Sequence[tuple[Placement, Tensor]]
) -> ScoreOfParts:
    """An image's score and map from the patch scores (1, h, w) of its inputs, one or its tiles.

    The score is taken over what the network saw of the image, without padding (our choice).
    """
    placement, scores = _whole(parts, geometry)
    smoothed = detector.scoring.maps(scores, geometry.canvas(placement.original))
    score = float(detector.scoring.image_scores(_content(smoothed, placement)))
    return ScoreOfParts(placement, scores, score, to_window(smoothed, placement)[0])


def inputs_of_images(
    extractor: Extractor, table: SampleTable, samples: Sequence[Sample]
) -> Iterator[tuple[Sample, Iterator[tuple[Placement, list[Tensor]]]]]:
    """Each image in order, with the placement and the pyramid (1, c_l, h_l, w_l) of its inputs.

    An image has one input, or one for each of its tiles; they have to be taken before the next
    image is asked for.
    """
    batches = extractor.batches([table.absolute(sample.path) for sample in samples])
    inputs = (
        (placement, [level[i : i + 1].float() for level in batch.pyramid])
        for batch in batches
        for i, placement in enumerate(batch.placements)
    )
    for sample in samples:
        first = next(inputs)
        num_inputs = len(extractor.geometry.windows(first[0].original))
        yield sample, chain([first], islice(inputs, num_inputs - 1))


def _whole(
    parts: Sequence[tuple[Placement, Tensor]], geometry: Geometry
) -> tuple[Placement, Tensor]:
    """An image's placement and patch scores (1, h, w) from those of its inputs."""
    placements, scores = zip(*parts, strict=True)
    if geometry.resize != "tile":
        return parts[0]
    merged = merge([one[0].float().cpu().numpy() for one in scores], placements, geometry)
    whole = geometry.plan(placements[0].original).placement
    return whole, torch.from_numpy(merged)[None].to(scores[0])


def to_window(maps: Tensor, placement: Placement) -> Tensor:
    """Maps (b, h, w) at the network's input size -> (b, H, W) of the original image's window."""
    content = _content(maps, placement)[:, None]  # (b, 1, h, w)
    size = placement.window[2:]
    return functional.interpolate(content, size=size, mode="bilinear", align_corners=False)[:, 0]


def _content(maps: Tensor, placement: Placement) -> Tensor:
    """The part of maps (b, h, w) at the network's input size that shows the image."""
    top, left, height, width = placement.content
    return maps[:, top : top + height, left : left + width]


def full_map(detector: Detector, scored: ScoredImage, input_size: tuple[int, int]) -> np.ndarray:
    """An image's map at its original size (H, W) float32; NaN outside the scored window."""
    smoothed = detector.scoring.maps(scored.patch_scores[None], scored.canvas or input_size)
    full = np.full(scored.placement.original, np.nan, dtype=np.float32)
    top, left, height, width = scored.placement.window
    window = to_window(smoothed, scored.placement)[0]
    full[top : top + height, left : left + width] = window.numpy()
    return full


def write_maps(
    folder: Path, detector: Detector, images: Sequence[ScoredImage], input_size: tuple[int, int]
) -> None:
    """Write full-size float16 TIFF maps in the layout that MVTec's evaluation reads.

    `<folder>/<category>/test/<defect>/<stem>.tiff`, or `<stem>.png.tiff` and the like where images
    differ in their suffix only; outside the scored window stands the minimum.
    """
    paths = [folder / scored.sample.path for scored in images]
    num_images = Counter(path.with_suffix("") for path in paths)
    for scored, path in zip(images, paths, strict=True):
        stem = path.with_suffix("") if num_images[path.with_suffix("")] == 1 else path
        values = full_map(detector, scored, input_size)
        write_map(stem.with_name(f"{stem.name}.tiff"), values)
