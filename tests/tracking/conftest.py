"""Fixtures of the tracking tests: wandb as on a machine where nobody has ever used it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.fake_wandb import API_KEY, FakeWandb, fake_wandb

from cfa_lab.tracking import Curve, Outcome, Panel


@pytest.fixture
def pristine_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder (returned), without settings, credentials or variables of wandb."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("API_KEY", "BASE_URL", "MODE", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR", "RUN_ID"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def server(pristine_wandb: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    """A stand-in for the W&B server that wandb, in this process and its children, talks to."""
    with fake_wandb() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", API_KEY)
        yield server


@pytest.fixture
def outcome() -> Outcome:
    rng = np.random.default_rng(0)
    mask = np.zeros((24, 32), dtype=bool)
    mask[4:9, 10:20] = True
    pictures = [rng.integers(0, 255, (24, 32, 3), dtype=np.uint8) for _ in range(3)]
    panels = [
        Panel(
            path=f"bottle/test/broken/{number}.png",
            label=1,
            defect="broken",
            score=0.25,
            group="miss",
            image=pictures[0],
            heat=pictures[1],
            overlay=pictures[2],
            mask=panel_mask,
        )
        for number, panel_mask in enumerate([mask, None])
    ]
    rate = np.linspace(0.0, 1.0, 2000)
    curve = Curve(
        x=rate,
        y=np.sqrt(rate),
        x_label="False positive rate",
        y_label="True positive rate",
        title="ROC curve of images",
    )
    predictions = [
        {"path": "test/good/1.png", "label": 0, "defect": "good", "score": 0.1, "decision": None},
        {"path": "test/cut/0.png", "label": 1, "defect": "cut", "score": 0.7, "decision": 1},
    ]
    return Outcome(
        metrics={"test/image_auroc": 0.75, "test/pixel_auroc": None, "oracle/image_f1": 0.5},
        predictions=predictions,
        panels=panels,
        curves={"image_roc": curve},
        timing={"time/fit_seconds": 1.5},
        diagnostics={"diagnostics/bank_used_ratio": 0.5, "diagnostics/defect_inside_one": None},
    )
