"""The package as a library: its names can be found, and it is silent unless asked."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import cfa_lab
from cfa_lab.metrics import AnomalyMetrics


def test_public_names_are_listed_before_they_are_imported():
    asked = "import sys, cfa_lab; print(*dir(cfa_lab)); assert 'torch' not in sys.modules"
    found = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, timeout=60
    )
    assert set(cfa_lab.__all__) <= set(found.stdout.split()), found.stderr


def test_a_long_fit_can_be_watched(capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setattr("cfa_lab.progress.displays.WORTH_A_LINE", 0.0)
    levels = [torch.rand(3, 4, 8, 8), torch.rand(3, 6, 4, 4)]
    cfa_lab.fit_pyramid(levels, seed=0)
    assert capsys.readouterr() == ("", "")
    with cfa_lab.show_progress(live=False):
        cfa_lab.fit_pyramid(levels, seed=0)
    shown = capsys.readouterr().err
    assert "training: 3 images" in shown
    assert "memory bank: " in shown


@pytest.mark.parametrize("make", [torch.from_numpy, np.asarray])
def test_maps_with_a_channel_are_measured_like_maps_without(make):
    rng = np.random.default_rng(0)
    maps, masks = rng.random((4, 1, 6, 5)), rng.random((4, 1, 6, 5)) > 0.8
    masks[:2] = False
    values = []
    for shape in ((4, 1, 6, 5), (4, 6, 5)):
        metrics = AnomalyMetrics()
        metrics.update(make(maps.reshape(shape)), make(masks.reshape(shape)), labels=[0, 0, 1, 1])
        values.append({name: float(value) for name, value in metrics.compute().items()})
    assert values[0] == values[1]
