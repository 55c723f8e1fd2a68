"""The published procedure, literally: backbone and evaluation in every epoch, nothing kept.

Kinder to it than its authors' code is: no gradient runs through the backbone, the loss's distances
serve once, and a test pass builds no graph.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from scipy.integrate import trapezoid
from sklearn.metrics import roc_auc_score
from torch import Tensor

from cfa_lab import reference
from cfa_lab.bench.pictures import CATEGORY
from cfa_lab.config import load_settings
from cfa_lab.data.geometry import Geometry
from cfa_lab.data.images import load_image
from cfa_lab.data.layouts import read_samples
from cfa_lab.data.masks import load_mask
from cfa_lab.features.networks import make_network
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.training.order import BANK_EPOCH, seeded_batches
from cfa_lab.training.parts import make_descriptor

BATCH_SIZE = 4


def literal_run(
    root: Path, size: int, backbone: dict[str, Any], epochs: int, seed: int, num_threads: int
) -> dict[str, Any]:
    """Run some epochs; returns seconds of each part and the last epoch's metrics.

    `backbone`: the arguments of `Architecture`; its weights are random, the same as
    `backbone.weights=random` gives.
    """
    torch.set_num_threads(num_threads)
    table = read_samples("mvtec", root, CATEGORY)
    geometry = Geometry(resize="stretch", height=size, width=size)
    network = Backbone(Architecture(**backbone), make_network(backbone["model"], weights="random"))

    def features(paths: Sequence[Path]) -> list[Tensor]:
        pixels = np.stack([load_image(path, geometry).pixels for path in paths])
        return network(torch.from_numpy(pixels).movedim(-1, 1))

    train = [table.absolute(sample.path) for sample in table.train]

    def batches(epoch: int) -> list[list[int]]:
        order = seeded_batches(len(train), BATCH_SIZE, drop_last=True, seed=seed, epoch=epoch)
        return [batch.tolist() for batch in order]

    began = time.perf_counter()
    start = make_descriptor(
        load_settings("official"), network.channels, dimension_factor=1, seed=seed
    )
    weight, bias = start.weight.detach().requires_grad_(), start.bias.detach().requires_grad_()
    radius = torch.tensor(1e-5, requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias, radius], lr=1e-3, weight_decay=5e-4, amsgrad=True)
    bank = torch.zeros(())
    with torch.no_grad():
        for i, batch in enumerate(batches(BANK_EPOCH)):
            phi = reference.describe(features([train[j] for j in batch]), weight, bias)
            bank = (i * bank + phi.mean(0)) / (i + 1)
    seconds = {"bank": time.perf_counter() - began, "epochs": 0.0, "evaluations": 0.0}
    metrics: dict[str, float] = {}
    for epoch in range(epochs):
        began = time.perf_counter()
        for batch in batches(epoch):
            phi = reference.describe(features([train[j] for j in batch]), weight, bias)
            attraction, repulsion = reference.loss_terms(phi, bank, radius)
            optimizer.zero_grad()
            (attraction + repulsion).backward()
            optimizer.step()
        seconds["epochs"] += time.perf_counter() - began
        began = time.perf_counter()
        maps, masks = [], []
        with torch.no_grad():
            for begin in range(0, len(table.test), BATCH_SIZE):
                samples = table.test[begin : begin + BATCH_SIZE]
                maps_in = features([table.absolute(sample.path) for sample in samples])
                phi = reference.describe(maps_in, weight, bias)
                scores = reference.patch_scores(phi, bank).unflatten(1, maps_in[0].shape[-2:])
                maps.extend(reference.score_maps(scores, (size, size)))
                for sample in samples:
                    files = [table.absolute(path) for path in sample.masks]
                    masks.append(load_mask(files, (size, size)))
        metrics = _metrics(np.stack(maps), np.stack(masks))
        seconds["evaluations"] += time.perf_counter() - began
    return {"seconds": seconds, "metrics": metrics}


def _metrics(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """Image and pixel AUROC by scikit-learn, and a region overlap at 200 thresholds."""
    scaled = (maps - maps.min()) / (maps.max() - maps.min())
    return {
        "test/image_auroc": float(roc_auc_score(masks.any((1, 2)), scaled.max((1, 2)))),
        "test/pixel_auroc": float(roc_auc_score(masks.ravel(), scaled.ravel())),
        "aupro at 200 thresholds": _overlap(scaled, masks),
    }


def _overlap(maps: np.ndarray, masks: np.ndarray, *, limit: float = 0.3) -> float:
    """Mean overlap of regions up to a false-positive rate, threshold by threshold."""
    labelled = np.zeros(masks.shape, dtype=np.int32)
    for mask, labels in zip(masks, labelled, strict=True):
        ndimage.label(mask, structure=np.ones((3, 3)), output=labels)
    rates, overlaps = [], []
    for threshold in np.linspace(maps.max(), maps.min(), 200):
        found = maps >= threshold
        rates.append(found[~masks].mean())
        shares = [
            found[i][labels == region].mean()
            for i, labels in enumerate(labelled)
            for region in range(1, labels.max() + 1)
        ]
        overlaps.append(np.mean(shares))
    kept = np.array(rates) <= limit
    return float(trapezoid(np.array(overlaps)[kept], np.array(rates)[kept]) / limit)
