#!/usr/bin/env bash
# anomalib's test metrics see scores after its post-processor has clamped them to 0..1.
#
# Seen with anomalib 2.7.0 (torch 2.14.1, torchmetrics 1.9.0). A score s becomes (s - threshold) / (max - min) + 0.5, clamped, in place, before the
# evaluator sees it. With the default, validation images from the test set, that does little. With normal validation images only the threshold is the
# highest score among them, so nearly every pixel lies below 0 and ties there: AUROC and AUPRO of the very same maps fall far.
#
# What we do about it: metrics see raw scores (docs/protocol.md); cfa_lab/metrics/legacy.py has the clamped variant to reproduce figures.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet anomalib==2.7.0
"$folder/venv/bin/python" - <<'PY' 2>/dev/null
from types import SimpleNamespace

import torch
from anomalib.data import ImageBatch
from anomalib.metrics import AUPRO, AUROC
from anomalib.post_processing import PostProcessor
from torch.nn.functional import avg_pool2d

generator = torch.Generator().manual_seed(0)


def images(count, defect):
    """Smooth positive maps; every other image with a square defect whose scores are higher."""
    noise = torch.randn(count, 1, 64, 64, generator=generator)
    maps = (avg_pool2d(noise, 5, 1, 2) * 5 / 2).exp()
    masks = torch.zeros(count, 64, 64, dtype=torch.bool)
    if defect:
        for i in range(0, count, 2):
            top, left = torch.randint(0, 48, (2,), generator=generator)
            masks[i, top : top + 14, left : left + 14] = True
    maps = maps + 2.5 * masks[:, None]
    scores = maps.amax((1, 2, 3))
    return ImageBatch(
        image=torch.zeros(count, 3, 64, 64),
        anomaly_map=maps,
        gt_mask=masks,
        pred_score=scores,
        gt_label=masks.flatten(1).any(1),
    )


def measured(batch):
    found = {}
    for name, metric in (("AUROC", AUROC), ("AUPRO", AUPRO)):
        metric = metric(fields=["anomaly_map", "gt_mask"])
        metric.update(batch)
        found[name] = float(metric.compute())
    return found


validation, test = images(20, defect=False), images(40, defect=True)
values = {}
for on in (True, False):
    processor = PostProcessor(enable_normalization=on)
    unused = SimpleNamespace()
    processor.on_validation_batch_end(unused, unused, validation)
    processor.on_validation_epoch_end(unused, unused)
    batch = ImageBatch(**{k: v for k, v in vars(test).items() if v is not None})
    batch.anomaly_map, batch.pred_score = test.anomaly_map.clone(), test.pred_score.clone()
    processor.post_process_batch(batch)
    tied = float(((batch.anomaly_map == 0) | (batch.anomaly_map == 1)).float().mean())
    found = values[on] = measured(batch)
    print(f"normalisation {on}: pixel AUROC {found['AUROC']:.3f}, AUPRO {found['AUPRO']:.3f}, "
          f"{100 * tied:.0f} % of the pixels tied at 0 or 1")
assert values[False]["AUPRO"] - values[True]["AUPRO"] > 0.3, "the metrics see raw scores now"
PY
# Output:
#   normalisation True: pixel AUROC 0.625, AUPRO 0.361, 99 % of the pixels tied at 0 or 1
#   normalisation False: pixel AUROC 0.995, AUPRO 0.982, 0 % of the pixels tied at 0 or 1
