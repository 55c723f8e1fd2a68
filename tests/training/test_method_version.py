"""METHOD_VERSION is raised whenever a number could change: these numbers are pinned to it.

From made-up features to metrics, with every preset in both precisions.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from helpers.pinned import GOLDEN, Numbers, Pin

from cfa_lab.config import Settings, load_settings
from cfa_lab.config.presets import presets
from cfa_lab.metrics import AnomalyMetrics
from cfa_lab.run.keys import METHOD_VERSION
from cfa_lab.training.fit import fit_pyramid


def tolerance(name: str) -> float:
    """On other machines; more where one bit decides what comes next.

    `fast` rounds to 8 bits; a metric moves by a step when two scores change places.
    """
    if name.startswith("fast"):
        return 1e-3
    return 1e-5 if name.endswith("metrics") else 1e-6


PIN = Pin(
    path=GOLDEN / "method_version.json",
    version=METHOD_VERSION,
    version_name="METHOD_VERSION in cfa_lab/run/keys.py",
    test="tests/training/test_method_version.py",
    tolerance=tolerance,
)

CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "": {},
    "repelled": {"loss": {"r": 2.0}, "optimizer": {"name": "adamw"}},
    "compressed": {"memory_bank": {"gamma_c": 2}, "descriptor": {"gamma_d": 2}},
}
"""Every preset as it is, with repulsion at work, and with K-means and fewer dimensions."""

UNUSUAL: dict[str, dict[str, dict[str, Any]]] = {
    "refreshed": {
        "optimizer": {"name": "adamw"},
        "memory_bank": {"refresh": True},
        "descriptor": {"init": "orthogonal", "coordinates": False},
        "loss": {"squared": False, "alpha_sign": "plus", "r": 2.0, "K": 2, "J": 1},
        "scoring": {"reducer": "top_mean", "num_neighbours": 5},
    },
    "sampled": {
        "optimizer": {"name": "adamw"},
        "memory_bank": {"kind": "sample"},
        "loss": {"J": 0, "learnable_radius": False},
    },
    "coreset": {"memory_bank": {"kind": "coreset", "entries": 20}},
    "both": {"memory_bank": {"kind": "both"}, "optimizer": {"name": "adamw"}},
}
"""What no preset has."""

SIZE = (52, 44)
"""Height and width of the images that there might be."""


def test_the_methods_numbers_are_those_of_its_version(monkeypatch, request):
    # bf16 products give what they give on any CPU, only slower where it has no AMX
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    numbers: Numbers = {}
    for preset in presets():
        for precision in ("exact", "fast"):
            for change, values in CHANGES.items():
                settings = changed(load_settings(preset), values | {"trainer": short(precision)})
                name = " ".join(filter(None, (precision, preset, change)))
                numbers |= {f"{name}/{key}": value for key, value in measured(settings).items()}
    for change, values in UNUSUAL.items():
        settings = changed(load_settings("lab"), values | {"trainer": short("exact")})
        numbers |= {f"exact {change}/{key}": value for key, value in measured(settings).items()}
    (PIN.write if request.config.getoption("--pin") else PIN.check)(numbers)


def short(precision: str) -> dict[str, Any]:
    return {"precision": precision, "epochs": 2, "batch_size": 2}


def changed(settings: Settings, values: dict[str, dict[str, Any]]) -> Settings:
    groups = {group: replace(getattr(settings, group), **own) for group, own in values.items()}
    return replace(settings, **groups)


def measured(settings: Settings) -> Numbers:
    """The course of a training, patch scores of an image, image scores and metrics."""
    rng = np.random.default_rng(0)
    normal, test = features(rng, 5), features(rng, 4)
    test[0][2:] += 1  # two defect images
    detector, history = fit_pyramid(normal, preset=settings, seed=3)
    scores = detector.score(test)
    maps = detector.scoring.maps(scores, SIZE)
    image_scores = detector.scoring.image_scores(maps)
    masks = np.zeros((4, *SIZE), dtype=bool)
    masks[2, 3:9, 4:12] = masks[3, 20:30, 10:13] = masks[3, 0:2, 0:2] = True
    metrics = AnomalyMetrics()
    metrics.update(maps, masks, labels=[0, 0, 1, 1], scores=image_scores)
    return {
        "loss": [row["train/loss"] for row in history],
        "radius": [float(detector.radius)],
        "patch scores": scores[3, ::4, ::3].flatten().tolist(),
        "image scores": image_scores.tolist(),
        "metrics": [float(value) for value in metrics.compute().values()],
    }


def features(rng: np.random.Generator, num_images: int) -> list[np.ndarray]:
    """Random numbers that are the same everywhere, in three levels."""
    levels = ((4, 13, 11), (6, 7, 6), (5, 4, 3))
    return [rng.random((num_images, *shape), dtype=np.float32) * 2 - 1 for shape in levels]
