import json
from pathlib import Path

import numpy as np
import pytest

from cfa_lab.bench.literal_pro import literal_aupro
from cfa_lab.bench.metric_contestants import (
    cfa_lab,
    sklearn_and_literal,
    synthetic_maps,
    torchmetrics,
)
from cfa_lab.bench.metrics import main


def test_synthetic_maps_are_as_described() -> None:
    maps, masks = synthetic_maps(64, 20, seed=0)
    assert maps.shape == masks.shape == (20, 64, 64)
    assert maps.dtype == np.float32 and maps.min() > 0 and maps.max() > 1
    assert masks.any(axis=(1, 2)).sum() == 15
    assert 0.003 < masks.mean() < 0.02
    assert maps[masks].mean() > maps[~masks].mean()
    np.testing.assert_array_equal(maps, synthetic_maps(64, 20, seed=0)[0])


def test_ours_equals_scikit_learn_and_the_literal_aupro() -> None:
    maps, masks = synthetic_maps(48, 12, seed=1)
    assert cfa_lab(maps, masks) == pytest.approx(sklearn_and_literal(maps, masks), abs=1e-12)


def test_torchmetrics_is_near() -> None:
    maps, masks = synthetic_maps(48, 12, seed=2)
    ours = cfa_lab(maps, masks)
    for name, value in torchmetrics(maps, masks).items():
        assert value == pytest.approx(ours[name], abs=0.02)


def test_literal_aupro_of_a_case_done_by_hand() -> None:
    """Two regions of 1 and 2 pixels, 4 normal ones; the limit cuts the slope of a tie in half."""
    score_map = np.array([[9.0, 0.0, 5.0, 4.0, 4.0, 1.0, 0.0]])
    mask = np.array([[1, 0, 0, 1, 1, 0, 0]])
    # rate 0: overlap 1/2; rate 1/4 (score 5): 1/2; score 4: all found; score 1 and 0 fill up
    values = literal_aupro([score_map], [mask], limits=[0.25, 0.5, 1.0])
    assert values == pytest.approx([0.5, 0.75, 0.875])
    tied = np.array([[1.0, 1.0, 0.0]])
    assert literal_aupro([tied], [np.array([[1, 0, 0]])], limits=[0.25]) == pytest.approx([0.25])


@pytest.mark.slow
def test_main_measures_prints_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    main(["--size", "64", "--images", "8", "--repeats", "1", "--json", str(path)])
    results = json.loads(path.read_text())["results"]
    assert list(results) == ["cfa_lab", "scikit-learn + literal AUPRO", "torchmetrics"]
    assert all(result["seconds"] > 0 for result in results.values())
    assert all(result["peak_bytes"] >= 0 for result in results.values())
    differences = results["scikit-learn + literal AUPRO"]["difference"]
    assert len(differences) == 8 and max(map(abs, differences.values())) < 1e-9
    assert "aupro_30" in capsys.readouterr().out
