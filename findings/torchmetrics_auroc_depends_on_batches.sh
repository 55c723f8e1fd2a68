#!/usr/bin/env bash
# torchmetrics' BinaryAUROC of raw scores depends on how they are cut into batches.
#
# Seen with torchmetrics 1.9.0 (torch 2.14.1). Each `update` decides anew whether its scores are probabilities (all within 0..1) or logits (then it
# takes their sigmoid). Distances around 1 are both: batches without a score above 1 stay as they are, the others move below 0.75. No warning.
#
# What we do about it: AnomalyMetrics never changes a score (tests/metrics/test_anomaly.py); docs/protocol.md says so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torchmetrics==1.9.0 torch
"$folder/venv/bin/python" - <<'PY'
import torch
from torchmetrics.classification import BinaryAUROC

generator = torch.Generator().manual_seed(0)
scores = torch.cat((0.8 + 0.2 * torch.rand(100, generator=generator),  # normal parts
                    0.9 + 0.2 * torch.rand(100, generator=generator)))  # defects, some above 1
labels = torch.cat((torch.zeros(100), torch.ones(100))).long()
order = torch.randperm(200, generator=generator)
scores, labels = scores[order], labels[order]
found = {}
for size in (1, 4, 8, 200):
    metric = BinaryAUROC()
    for start in range(0, 200, size):
        metric.update(scores[start : start + size], labels[start : start + size])
    found[size] = float(metric.compute())
    print(f"batches of {size}: {found[size]:.3f}")
normal, defect = scores[labels == 0], scores[labels == 1]
exact = float((defect[:, None] > normal).double().mean())
print(f"share of pairs in order: {exact:.3f}")
assert abs(found[200] - exact) < 1e-4 and found[1] < exact - 0.1, "batches no longer matter"
PY
# Output:
#   batches of 1: 0.449
#   batches of 4: 0.552
#   batches of 8: 0.780
#   batches of 200: 0.859
#   share of pairs in order: 0.859
