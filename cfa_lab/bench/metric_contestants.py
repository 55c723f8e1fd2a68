"""The same metrics three ways, and synthetic maps to try them on."""

from collections.abc import Callable

import numpy as np

from cfa_lab.bench.literal_pro import literal_aupro

Metrics = dict[str, float]


def synthetic_maps(size: int, num_images: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Score maps (n, size, size) float32 and boolean masks; like CFA's, smooth, positive, beyond 1.

    Three of four images hold two square defects, 1.2 % of all pixels; their scores overlap normal
    ones.
    """
    from scipy.ndimage import gaussian_filter

    generator = np.random.default_rng(seed)
    maps = np.empty((num_images, size, size), dtype=np.float32)
    masks = np.zeros((num_images, size, size), dtype=bool)
    side = max(size // 11, 1)
    for index in range(num_images):
        noise = gaussian_filter(generator.standard_normal((size, size), dtype=np.float32), 2.0)
        if index % 4:
            for top, left in generator.integers(0, size - side + 1, size=(2, 2)):
                masks[index, top : top + side, left : left + side] = True
        lift = gaussian_filter(masks[index].astype(np.float32), size / 100)
        maps[index] = np.exp(noise / noise.std() / 2 + 1.5 * lift)
    return maps, masks


def cfa_lab(maps: np.ndarray, masks: np.ndarray) -> Metrics:
    """`AnomalyMetrics`, fed in batches of 8."""
    import torch

    from cfa_lab.metrics import AnomalyMetrics

    metrics = AnomalyMetrics()
    for start in range(0, len(maps), 8):
        batch = slice(start, start + 8)
        metrics.update(torch.from_numpy(maps[batch]), torch.from_numpy(masks[batch]))
    return {name: float(value) for name, value in metrics.compute().items()}


def sklearn_and_literal(maps: np.ndarray, masks: np.ndarray) -> Metrics:
    """scikit-learn's exact functions, and AUPRO word for word."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

    values: Metrics = {}
    for level, truth, scores in _levels(maps, masks):
        precision, recall, _ = precision_recall_curve(truth, scores)
        values[f"{level}_auroc"] = float(roc_auc_score(truth, scores))
        values[f"{level}_ap"] = float(average_precision_score(truth, scores))
        values[f"{level}_f1max"] = _f1max(precision, recall)
    limits = (0.3, 0.05)
    values["aupro_30"], values["aupro_05"] = literal_aupro(list(maps), list(masks), limits=limits)
    return values


def torchmetrics(maps: np.ndarray, masks: np.ndarray) -> Metrics:
    """torchmetrics' unbinned functions: float32, sigmoid of scores beyond [0, 1]; no AUPRO."""
    import torch
    from torchmetrics.functional import classification

    values: Metrics = {}
    for level, truth, scores in _levels(maps, masks):
        pair = torch.from_numpy(scores), torch.from_numpy(truth).long()
        precision, recall, _ = classification.binary_precision_recall_curve(*pair)
        values[f"{level}_auroc"] = float(classification.binary_auroc(*pair))
        values[f"{level}_ap"] = float(classification.binary_average_precision(*pair))
        values[f"{level}_f1max"] = _f1max(precision.numpy(), recall.numpy())
    return values


CONTESTANTS: dict[str, Callable[[np.ndarray, np.ndarray], Metrics]] = {
    "cfa_lab": cfa_lab,
    "scikit-learn + literal AUPRO": sklearn_and_literal,
    "torchmetrics": torchmetrics,
}


def _levels(maps: np.ndarray, masks: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    per_image = maps.reshape(len(maps), -1), masks.reshape(len(masks), -1)
    image = np.asarray(per_image[1].any(axis=1)), per_image[0].max(axis=1)
    return [("image", *image), ("pixel", masks.ravel(), maps.ravel())]


def _f1max(precision: np.ndarray, recall: np.ndarray) -> float:
    both = precision + recall
    return float(np.max(2 * precision * recall / np.where(both > 0, both, 1.0)))
