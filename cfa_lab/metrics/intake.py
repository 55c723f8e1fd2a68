"""A batch of maps, masks, labels and scores: checked and taken apart before anything is kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cfa_lab.errors import UserError
from cfa_lab.metrics.pixels import ImagePixels, split_pixels
from cfa_lab.metrics.saturation import Defect, saturating_pixels

Array = Tensor | np.ndarray
Maps = Array | Sequence[Array]
Masks = Array | Sequence[Array | None]


@dataclass(frozen=True)
class Batch:
    """What a batch adds: the pixels of each image, labels (b,) int64, scores (b,) float64."""

    images: list[ImagePixels]
    labels: np.ndarray
    scores: np.ndarray
    saturating: list[ImagePixels]
    """For sPRO, see `saturating_pixels`; empty without."""


def take_batch(
    maps: Maps,
    masks: Masks | None,
    *,
    labels: Array | Sequence[int] | None,
    scores: Array | Sequence[float] | None,
    names: Sequence[str],
    defects: Sequence[Sequence[Defect]] | None = None,
) -> Batch:
    """Check a batch and take it apart; `UserError` with the image's name if something is wrong."""
    masks = [None] * len(maps) if masks is None else masks
    per_map = {
        "masks": masks,
        "labels": labels,
        "scores": scores,
        "names": names,
        "lists of defects": defects,
    }
    for what, given in per_map.items():
        if given is not None and len(given) != len(maps):
            raise UserError(
                f"{len(given)} {what} for {len(maps)} maps; give one for each map of the batch"
            )
    checked = [checked_map(as_array(m), name=name) for m, name in zip(maps, names, strict=True)]
    images = [
        split_pixels(m, None if mask is None else checked_mask(as_array(mask), m, name=name))
        for m, mask, name in zip(checked, masks, names, strict=True)
    ]
    if labels is None:
        unknown = [name for mask, name in zip(masks, names, strict=True) if mask is None]
        if unknown:
            raise UserError(f"{unknown[0]}: neither mask nor label given; give one of them")
        labels = [int(image.positives.size > 0) for image in images]
    if scores is None:
        scores = [float(m.max()) for m in checked]
    saturating = [
        saturating_pixels(m, found, name=name)
        for m, found, name in zip(checked, defects or (), names, strict=defects is not None)
    ]
    labels = checked_labels(labels, names=names)
    return Batch(images, labels, checked_scores(scores, names=names), saturating)


def as_array(values: Array | Sequence[float]) -> np.ndarray:
    """The values as a numpy array, brought from their device; shared with a CPU tensor."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)


def checked_map(score_map: np.ndarray, *, name: str) -> np.ndarray:
    """The (h, w) map as float32, or as float64 where float32 would round; refused unless finite.

    (1, h, w) is a map with a channel of its own, as networks give them.
    """
    score_map = without_channel(score_map)
    if score_map.ndim != 2 or score_map.size == 0:
        raise UserError(
            f"{name}: map of shape {score_map.shape} is not (height, width) with at least one "
            "pixel; give one 2-d map per image"
        )
    if score_map.dtype.kind not in "fiub":
        raise UserError(
            f"{name}: a map of {score_map.dtype.name} values has no order that says which pixel is "
            "worse; give real numbers"
        )
    score_map = score_map.astype(np.result_type(score_map.dtype, np.float32), copy=False)
    if not (np.isfinite(score_map.max()) and np.isfinite(score_map.min())):  # NaN survives both
        wrong = int(np.count_nonzero(~np.isfinite(score_map)))
        raise UserError(
            f"{name}: {wrong} of {score_map.size} scores in the map are NaN or infinite; scores "
            "have to be finite, look where they are made"
        )
    return score_map


def without_channel(values: np.ndarray) -> np.ndarray:
    """(1, h, w) as (h, w), anything else as it is."""
    return values[0] if values.ndim == 3 and len(values) == 1 else values


def checked_mask(mask: np.ndarray, score_map: np.ndarray, *, name: str) -> np.ndarray:
    """The mask (h, w) or (1, h, w), refused unless it has exactly its map's shape."""
    mask = without_channel(mask)
    if mask.shape != score_map.shape:
        raise UserError(
            f"{name}: mask of shape {mask.shape} does not fit its map of shape {score_map.shape}; "
            "bring the map to the mask's size, never the mask to the map's"
        )
    return mask


def checked_labels(labels: Array | Sequence[int], *, names: Sequence[str]) -> np.ndarray:
    """(b,) int64 labels, refused unless 0 or 1."""
    given = as_array(labels).reshape(-1)
    for label, name in zip(given, names, strict=True):
        if label not in (0, 1):
            raise UserError(f"{name}: label {label} is neither 0 (normal) nor 1 (defect)")
    return given.astype(np.int64)


def checked_scores(scores: Array | Sequence[float], *, names: Sequence[str]) -> np.ndarray:
    """(b,) float64 image scores, refused unless finite."""
    given = as_array(scores)
    if given.size and given.dtype.kind not in "fiub":
        raise UserError(
            f"{names[0]}: image scores are {given.dtype.name} values; give real numbers"
        )
    given = given.astype(np.float64).reshape(-1)
    for score, name in zip(given, names, strict=True):
        if not np.isfinite(score):
            raise UserError(f"{name}: image score {score} is not finite; look where it is made")
    return given
