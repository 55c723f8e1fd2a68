"""The official preset reproduces traces of the authors' published code."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cfa_lab import Detector, fit_pyramid, reference
from cfa_lab.method.pyramid import upsample

FOLDER = Path(__file__).parents[1] / "golden"
SLOW_RADIUS, *FAST_RADIUS = (
    "official_k3_j3",
    "official_k3_j3_fast_radius",
    "official_k3_j1_fast_radius",
)
TERMS = {"loss": "loss", "attraction": "attraction", "repulsion": "repulsion"} | {
    "radius_before_step": "radius"
}


def load(name: str) -> dict[str, Any]:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


def fit(golden: dict[str, Any], device: str = "cpu") -> tuple[Detector, list[dict[str, float]]]:
    detector, history = fit_pyramid(
        levels(golden),
        preset="official",
        K=int(golden["K"]),
        J=int(golden["J"]),
        r=float(golden["r0"]),
        alpha=float(golden["alpha"]),
        nu=float(golden["nu"]),
        lr=float(golden["lr"]),
        weight_decay=float(golden["weight_decay"]),
        batches=golden["batches"],
        bank_batches=golden["bank_batches"],
        initial_weight=golden["weight0"],
        initial_bias=golden["bias0"],
        device=device,
    )
    return detector.cpu(), history


def levels(golden: dict[str, Any]) -> list[np.ndarray]:
    return [golden[f"level{i}"] for i in range(3)]


def error(ours: Any, golden: np.ndarray) -> float:
    """Largest difference relative to the array's largest magnitude."""
    return float(np.abs(np.asarray(ours) - golden).max() / max(np.abs(golden).max(), 1e-30))


def test_every_array_of_the_slow_trace_agrees(device: str):
    golden = load(SLOW_RADIUS)
    detector, history = fit(golden, device)
    assert len(history) == len(golden["loss"])
    for theirs, ours in TERMS.items():
        assert error([row[f"train/{ours}"] for row in history], golden[theirs]) <= 1e-4, theirs
    score = detector.score(levels(golden))
    smoothed = detector.scoring.maps(score, (48, 48))
    for name, value in {
        "bank": detector.bank,
        "weight_final": detector.descriptor.weight,
        "bias_final": detector.descriptor.bias,
        "radius_final": detector.radius,
        "score": score,
        "upsampled": upsample(score[:, None], (48, 48))[:, 0],
        "smoothed": smoothed,
        "image_score": detector.scoring.image_scores(smoothed),
    }.items():
        assert error(value, golden[name]) <= 1e-3, name


@pytest.mark.parametrize("name", FAST_RADIUS)
def test_the_fast_traces_agree_until_they_turn_chaotic(name: str, device: str):
    golden = load(name)
    detector, history = fit(golden, device)
    assert error(detector.bank, golden["bank"]) <= 1e-3
    for theirs, ours in TERMS.items():
        ours_40 = [row[f"train/{ours}"] for row in history[:40]]
        assert error(ours_40, golden[theirs][:40]) <= 1e-3, theirs


def test_repulsion_is_at_work_in_the_fast_traces():
    for name in FAST_RADIUS:
        assert load(name)["repulsion"].max() > 0


@pytest.mark.parametrize("name", [SLOW_RADIUS, FAST_RADIUS[1]])
def test_the_literal_reference_agrees_too(name: str):
    golden = load(name)
    run = reference.train(
        [torch.from_numpy(level) for level in levels(golden)],
        batches=golden["batches"][:40].tolist(),
        bank_batches=golden["bank_batches"].tolist(),
        weight=torch.from_numpy(golden["weight0"]),
        bias=torch.from_numpy(golden["bias0"]),
        lr=float(golden["lr"]),
        K=int(golden["K"]),
        J=int(golden["J"]),
    )
    assert error(run.bank, golden["bank"]) <= 1e-3
    for theirs in ("loss", "attraction", "repulsion"):
        assert error([row[theirs] for row in run.history], golden[theirs][:40]) <= 1e-3, theirs
