"""The study of legacy metrics, on a tiny run."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cfa_lab.run.run import run

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "metric_defects.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("metric_defects", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_root) -> Path:
    from helpers.tiny import TINY_RUN, compose

    overrides = ["evaluation.every=1", "evaluation.resamples=0", "dataset.validation_fraction=0.4"]
    folder = tmp_path_factory.mktemp("studied")
    run(compose(*TINY_RUN, f"dataset.root={tiny_root}", *overrides), folder)
    return folder


@pytest.fixture(scope="module")
def record(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def scored(script, folder, record):
    return script.score_again(folder, record)


def test_exact_values_are_the_runs_own_and_no_stretching_moves_them(script, record, scored):
    test, normal = scored
    _, exact = next(script.score_variants(test, normal))
    assert len(exact) == 8
    for name, value in exact.items():
        assert value == pytest.approx(record["metrics"][f"test/{name}"], abs=1e-9), name

    def cube(scores):
        return scores.astype(np.float64) ** 3

    assert next(script.score_variants(test.changed(cube, cube), normal))[1] == exact


def test_binned_variants_differ_and_move_when_scores_are_stretched(script, scored):
    rows = dict(script.score_variants(*scored))
    span = script.extremes(scored[0].maps)
    cubes = [s.changed(*[lambda x: script.stretch(x, **span)] * 2) for s in scored]
    moved = dict(script.score_variants(*cubes))
    binned = [name for name in rows if name.startswith(("authors", "adeval", "ADer"))]
    assert len(binned) == 5
    for variant in binned:
        assert moved[variant] != rows[variant]
        for name, value in rows[variant].items():
            assert 0 < value <= 1 and value != rows["**exact**"][name]


def test_normal_validation_clamps_at_half_the_held_out_images_range(script, scored):
    test, held_out = scored
    assert len(held_out.maps) == 2 and not any(mask.any() for mask in held_out.masks)
    low, high = (f(np.concatenate(held_out.maps)) for f in (np.min, np.max))
    pixels, truth = (np.concatenate(arrays).ravel() for arrays in (test.maps, test.masks))
    clamped = ((pixels - high) / (high - low) + 0.5).clip(0, 1)
    found = dict(script.score_variants(test, held_out))["anomalib, normal validation"]
    assert found["pixel_auroc"] == pytest.approx(roc_auc_score(truth, clamped), abs=1e-9)
    assert found["pixel_auroc"] < roc_auc_score(truth, pixels)


def test_the_report_has_command_tables_and_best_epochs_and_keeps_the_summary(
    script, folder, record, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "report.md"
    monkeypatch.setattr(sys, "argv", ["metric_defects", str(folder), "--out", str(path)])
    path.write_text("In words.\n")
    script.main()
    report = path.read_text()
    assert report.startswith(f"In words.\n{script.MARK}")
    assert capsys.readouterr().out.strip() in report
    assert f"hydra.run.dir={folder}`" in report
    for name in ("pixel_auroc", "aupro_30"):
        assert report.count(f"{record['metrics'][f'test/{name}']:.4f}") >= 2
        assert f"{record['oracle'][f'oracle/best_{name}']:.4f}" in report
    rows = [line for line in report.splitlines() if line.startswith("| ")]
    assert len(rows) == (1 + 11) + (1 + 8)
    assert all(row.count("|") == 10 for row in rows)


def test_an_unfinished_run_is_refused_in_one_line(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["metric_defects", str(tmp_path), "--out", "unused.md"])
    with pytest.raises(SystemExit):
        script.main()
    assert "holds no complete run" in capsys.readouterr().err.splitlines()[-1]
