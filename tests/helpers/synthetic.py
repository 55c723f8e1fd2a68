"""Run folders as a study would leave them, made without training.

`python tests/helpers/synthetic.py FOLDER` writes 1000 of them, for measuring the report; a number
behind it, of settings, writes fewer.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cfa_lab.metrics.summary import metric_names
from cfa_lab.records import names
from cfa_lab.records.diagnostics import write_diagnostics
from cfa_lab.records.figures import CASE_FIGURES, FALSE_POSITIVE, MISS
from cfa_lab.records.history import HISTORY_COLUMNS
from cfa_lab.records.record import write_record

METRICS = metric_names((0.3, 0.05))


def write_run(
    folder: Path,
    *,
    category: str = "bottle",
    seed: int = 0,
    value: float | None = 0.9,
    status: str = "complete",
    run_key: str | None = None,
    config: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    oracle: Mapping[str, float] | None = None,
    num_steps: int = 60,
    pictures: bool = False,
) -> Path:
    """Write one run whose metrics are all `value`; `config` and `metrics` add to the usual."""
    dotted = {
        "category": category,
        "seed": seed,
        "preset": "lab",
        "dataset.name": "mvtec",
        "dataset.root": f"/data/{folder.name}",
        "dataset.limit_train": None,
        "backbone.name": "wide_resnet50",
        "backbone.layers": ["layer1", "layer2", "layer3"],
        "loss.K": 3,
        "loss.J": 3,
        "loss.alpha": 0.1,
        "loss.r": 1e-5,
        "descriptor.gamma_d": 1,
        "memory_bank.gamma_c": 1,
        "trainer.epochs": 30,
        "trainer.num_threads": 2,
        "image.resize": "stretch",
        "image.height": 256,
        "image.width": 256,
        "image.crop": None,
        "tracker.group": folder.name,
        **(config or {}),
    }
    folder.mkdir(parents=True)
    measured = {f"test/{name}": value for name in METRICS} | dict(metrics or {})
    write_record(
        folder,
        status=status,
        run_key=run_key or f"{folder.parent.name}/{folder.name}",
        config=_nested(dotted),
        metrics=measured if status == "complete" else None,
        intervals={"test/image_auroc": None if value is None else [value - 0.02, value]},
        oracle=oracle,
        undefined={} if value is not None else dict.fromkeys(measured, "no defect image"),
        protocol={"epoch_selection": "last", "num_train": 100 + seed},
        timing={"time/training_seconds": 12.5},
        environment={"device": "cpu", "git_commit": "abc", "command": [str(folder)]},
        error=None if status == "complete" else "the disk is full",
    )
    rows = [
        f"{i // 20},{i},{1 / (i + 1)},{0.9 / (i + 1)},0.0,{1e-5 + i * 1e-3},1.0,{0.25 * (i == 350)}"
        for i in range(num_steps)
    ]
    (folder / names.HISTORY).write_text("\n".join([",".join(HISTORY_COLUMNS), *rows]) + "\n")
    write_diagnostics(folder, diagnosis())
    if pictures:
        (folder / names.FIGURES).mkdir()
        for figure in (CASE_FIGURES[MISS], CASE_FIGURES[FALSE_POSITIVE]):
            picture = Image.new("RGB", (1600, 1200), (seed % 256, 90, 160))
            picture.save(folder / names.FIGURES / figure.file)
    return folder


def diagnosis() -> dict[str, Any]:
    """A run's diagnostics, of plausible numbers."""
    return {
        "num_images": 40,
        "num_patches": {"normal": 6, "defect": 2},
        "radius": 0.05,
        "border_distance": 0.05,
        "sqrt_alpha": 0.1**0.5,
        "inside": {"normal": {"none": 0.5, "one": 0.25, "several": 0.25}, "defect": None},
        "median_distance": {"normal": 1.0, "defect": None},
        "bank": {"entries": 10, "used": 4, "effective": 3.0},
        "histogram": {"edges": [0.0, 1.0, 2.0], "normal": [4, 2], "defect": [0, 2]},
    }


def write_study(
    root: Path,
    *,
    categories: int = 3,
    seeds: int = 3,
    Ks: tuple[int, ...] = (1, 3),
    gain: float = 0.01,
    config_more: Mapping[str, Any] | None = None,
    **values: Any,
) -> Path:
    """Write a full grid in which each K gains on the one before, with noise of its own."""
    rng = np.random.default_rng(0)
    for c in range(categories):
        for seed in range(seeds):
            for i, K in enumerate(Ks):
                value = 0.8 + 0.1 * c / categories + gain * i + rng.normal(0, 0.001)
                write_run(
                    root / f"c{c}-s{seed}-K{K}",
                    category=f"category{c}",
                    seed=seed,
                    value=min(1.0, float(value)),
                    config={"loss.K": K, **(config_more or {})},
                    **values,
                )
    return root


def _nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in dotted.items():
        *groups, name = key.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    return nested


if __name__ == "__main__":
    runs, num_settings = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 22
    write_study(
        runs,
        categories=15,
        Ks=tuple(range(1, 1 + num_settings)),
        gain=0.004,
        num_steps=1500,
        pictures=True,
    )
    for i in range(10):
        write_run(runs / f"failed-{i}", status="failed")
