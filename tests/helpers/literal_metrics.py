"""Slow, word-for-word versions of the metrics, and random test sets to compare on."""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from cfa_lab.bench.literal_pro import literal_aupro

Arrays = Sequence[np.ndarray]


def sklearn_values(truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """AUROC, AP and F1max by scikit-learn."""
    precision, recall, _ = precision_recall_curve(truth, scores)
    both = np.where(precision + recall > 0, precision + recall, 1.0)
    return {
        "auroc": float(roc_auc_score(truth, scores)),
        "ap": float(average_precision_score(truth, scores)),
        "f1max": float(np.max(2 * precision * recall / both)),
    }


def literal_values(maps: Arrays, masks: Arrays, limits: Sequence[float]) -> dict[str, float]:
    """Every metric of `AnomalyMetrics`, from scikit-learn and the literal AUPRO."""
    image_truth = np.array([mask.any() for mask in masks]).astype(int)
    image_scores = np.array([score_map.max() for score_map in maps])
    pixel_truth = np.concatenate([mask.ravel() != 0 for mask in masks]).astype(int)
    pixel_scores = np.concatenate([score_map.ravel() for score_map in maps])
    values = {f"image_{k}": v for k, v in sklearn_values(image_truth, image_scores).items()}
    values |= {f"pixel_{k}": v for k, v in sklearn_values(pixel_truth, pixel_scores).items()}
    aupros = literal_aupro(maps, masks, limits=limits)
    names = [f"aupro_{round(100 * limit):02d}" for limit in limits]
    return values | dict(zip(names, aupros, strict=True))


def literal_spro(
    maps: Arrays, defects: Sequence[Sequence[tuple[np.ndarray, int]]], limit: float
) -> float:
    """sPRO threshold by threshold; `defects`: (mask, saturation area) pairs of each map."""
    xs, ys = [0.0], [0.0]
    for threshold in np.unique(np.concatenate([m.ravel() for m in maps]))[::-1]:
        alarms = normals = 0
        overlaps = []
        for score_map, found in zip(maps, defects, strict=True):
            free = np.ones(score_map.shape, dtype=bool)
            for mask, area in found:
                free &= ~mask
                overlaps.append(min((score_map[mask] >= threshold).sum() / area, 1.0))
            alarms += (score_map[free] >= threshold).sum()
            normals += free.sum()
        xs.append(alarms / normals)
        ys.append(float(np.mean(overlaps)))
    return literal_area(xs, ys, limit) / limit


def literal_spro_by_kind(
    maps: Arrays,
    defects: Sequence[Sequence[tuple[np.ndarray, int]]],
    kinds: Sequence[int],
    limit: float,
) -> float:
    """The mean over kinds of sPRO over the images of a kind and those of kind 0."""
    values = []
    for kind in sorted({*kinds} - {0}):
        images = [i for i, other in enumerate(kinds) if other in (0, kind)]
        if any(defects[i] for i in images):
            chosen = [maps[i] for i in images], [defects[i] for i in images]
            values.append(literal_spro(*chosen, limit))
    return float(np.mean(values)) if values else math.nan


def literal_seg_f1(maps: Arrays, masks: Arrays, threshold: float) -> float:
    """SegF1 of MVTec AD 2: the pixels of all images counted together."""
    hits = alarms = defects = 0
    for score_map, mask in zip(maps, masks, strict=True):
        found = score_map >= threshold
        hits += int((found & mask).sum())
        alarms += int((found & ~mask).sum())
        defects += int(mask.sum())
    return 2 * hits / (hits + alarms + defects)


def literal_area(xs: Sequence[float], ys: Sequence[float], limit: float) -> float:
    """Trapezoids one by one, the one across the limit cut there."""
    area = 0.0
    for x0, x1, y0, y1 in zip(xs, xs[1:], ys, ys[1:], strict=False):
        if x0 >= limit:
            break
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            x1 = limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area


def literal_aupimo(normals: Arrays, positives: np.ndarray, low: float, high: float) -> float:
    """AUPIMO of one image: all thresholds, the rate averaged image by image, pieces one by one."""
    everything = np.unique(np.concatenate([*normals, positives]))[::-1]
    points = [(0.0, 0.0)]
    for threshold in everything:
        rate = float(np.mean([(scores >= threshold).mean() for scores in normals]))
        points.append((rate, float((positives >= threshold).mean())))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        left, right = max(x0, low), min(x1, high)
        if right > left:
            slope = (y1 - y0) / (x1 - x0)
            area += (y0 - slope * x0) * math.log(right / left) + slope * (right - left)
    return area / math.log(high / low)


def regions_of(mask: np.ndarray) -> list[np.ndarray]:
    """One boolean mask for each 8-connected region."""
    labels = np.zeros(mask.shape, dtype=int)
    ndimage.label(mask, structure=np.ones((3, 3)), output=labels)
    return [labels == index for index in range(1, int(labels.max()) + 1)]


SCORE_STYLES: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "smooth": lambda rng, shape: rng.normal(size=shape),
    "ties": lambda rng, shape: rng.integers(0, 4, size=shape).astype(float),
    "heavy tail": lambda rng, shape: np.exp(4 * rng.standard_normal(shape)),
    "negative and zero": lambda rng, shape: -np.maximum(rng.normal(size=shape), 0.0),
    "constant": lambda rng, shape: np.full(shape, 0.25),
}


def random_test_set(
    rng: np.random.Generator, style: str, *, num_images: int = 4, dtype: type = np.float32
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Maps and masks of different sizes; the first normal, the second defect, the others either."""
    maps, masks = [], []
    for index in range(num_images):
        shape = int(rng.integers(2, 9)), int(rng.integers(2, 9))
        share = 0.0 if index == 0 else rng.choice([0.0, 0.1, 0.5])
        mask = rng.random(shape) < share
        if index == 1:
            mask[rng.integers(0, shape[0]), rng.integers(0, shape[1])] = True  # also at borders
        score_map = SCORE_STYLES[style](rng, shape) + mask * rng.choice([0.0, 1.0])
        maps.append(score_map.astype(dtype))
        masks.append(mask)
    return maps, masks
