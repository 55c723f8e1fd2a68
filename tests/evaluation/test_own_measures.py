"""What the authors of a data set measure besides: sPRO of MVTec LOCO AD, SegF1 of MVTec AD 2."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.literal_metrics import literal_seg_f1, literal_spro_by_kind
from helpers.tiny import TINY_RUN, compose
from PIL import Image

from cfa_lab.config import Config
from cfa_lab.data.saturation import FILE
from cfa_lab.data.toy.layouts import write_toy_layout
from cfa_lab.evaluation.evaluate import sample_mask
from cfa_lab.evaluation.maps import score_images
from cfa_lab.evaluation.summary import NO_THRESHOLD
from cfa_lab.run.prepare import make_extractor, prepare
from cfa_lab.run.run import run
from cfa_lab.run.show import show_result
from cfa_lab.run.tables import read_table
from cfa_lab.training.model_files import load_detector

SIZE = 64


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("roots")
    for layout in ("mvtec_loco", "mvtec_ad2"):
        write_toy_layout(layout, root / layout, "gear", size=SIZE, num_train=5, num_defects=2)
    return root


def config_of(root: Path, *more: str) -> Config:
    settings = [f"dataset={root.name}", f"dataset.root={root}", "category=gear", *more]
    return compose(*TINY_RUN, "trainer.epochs=1", *settings)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def scored_maps(config: Config, folder: Path) -> list[tuple[Any, np.ndarray, np.ndarray | None]]:
    """Each test image's sample, map and mask, from the run's own detector."""
    table = read_table(config)
    extractor, _ = make_extractor(config, torch.device("cpu"))
    return [
        (scored.sample, score_map.numpy(), sample_mask(table, scored.sample, scored.placement))
        for scored, score_map in score_images(load_detector(folder), extractor, table, table.test)
    ]


@pytest.mark.slow
def test_loco_runs_report_spro_with_the_files_saturation(roots, tmp_path, capsys):
    config = config_of(roots / "mvtec_loco")
    show_result(run(config, tmp_path))
    found = record(tmp_path)
    maps, defects, kinds = [], [], []
    names = ("good", "logical_anomalies", "structural_anomalies")
    for sample, score_map, _ in scored_maps(config, tmp_path):
        masks = [np.asarray(Image.open(roots / "mvtec_loco" / path)) for path in sample.masks]
        pairs = []
        for mask in masks:
            area = int((mask > 0).sum())  # 255: 4 pixels are enough; 254: half of the area
            enough = min(4, area) if mask.max() == 255 else max(1, area // 2)
            pairs.append((mask > 0, enough))
        maps.append(score_map)
        defects.append(pairs)
        kinds.append(names.index(sample.defect))
    assert {*kinds} == {0, 1, 2} and {len(pairs) for pairs in defects} == {0, 2}
    for name, limit in (("spro_30", 0.3), ("spro_05", 0.05)):
        expected = literal_spro_by_kind(maps, defects, kinds, limit)
        assert found["metrics"][f"test/{name}"] == pytest.approx(expected, abs=1e-9)
        low, high = found["intervals"][f"test/{name}"]
        assert 0 <= low <= high <= 1
    assert not any("spro" in name for name in found["undefined"])
    printed = capsys.readouterr().out
    assert "sPRO@0.3" in printed and "sPRO@0.05" in printed


@pytest.fixture
def changed_loco(roots, tmp_path) -> Callable[[str | None], Path]:
    """A function from the text of the data set's file, None for no file, to its root."""

    def change(text: str | None) -> Path:
        root = shutil.copytree(roots / "mvtec_loco", tmp_path / "mvtec_loco")
        (root / "gear" / FILE).unlink()
        if text is not None:
            (root / "gear" / FILE).write_text(text)
        return root

    return change


ONE_VALUE = '[{"pixel_value": 255, "saturation_threshold": 4, "relative_saturation": false}]'


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "gear/defects_config.json is missing"), (ONE_VALUE, "no pixel_value 254")],
)
def test_spro_is_null_with_its_reason_where_saturation_is_unknown(
    changed_loco, tmp_path, text, reason
):
    run(config_of(changed_loco(text)), tmp_path / "run")
    found = record(tmp_path / "run")
    for name in ("test/spro_30", "test/spro_05"):
        assert found["metrics"][name] is None
        assert reason in found["undefined"][name]
        assert found["intervals"][name] is None
    assert found["metrics"]["test/aupro_30"] is not None
    assert found["undefined"].keys() == {n for n, v in found["metrics"].items() if v is None}


def test_the_run_key_knows_how_much_of_a_defect_is_enough(roots, changed_loco):
    before = prepare(config_of(roots / "mvtec_loco"))
    after = prepare(config_of(changed_loco(ONE_VALUE)))
    assert before.fit_key == after.fit_key
    assert before.run_key != after.run_key


def test_ad2_runs_report_segf1_at_the_threshold_of_their_validation_images(roots, tmp_path, capsys):
    config = config_of(
        roots / "mvtec_ad2", "evaluation.threshold=quantile", "evaluation.quantile=0.5"
    )
    show_result(run(config, tmp_path))
    found = record(tmp_path)["metrics"]
    threshold = found["threshold/pixel_threshold"]
    _, maps, masks = zip(*scored_maps(config, tmp_path), strict=True)
    expected = literal_seg_f1(maps, masks, threshold)
    assert 0 < expected < 1
    assert found["threshold/seg_f1"] == pytest.approx(expected, abs=1e-12)
    assert "SegF1" in capsys.readouterr().out
    assert not any("spro" in name for name in found)


def test_segf1_is_null_with_its_reason_without_a_held_out_image(roots, tmp_path):
    root = shutil.copytree(roots / "mvtec_ad2", tmp_path / "mvtec_ad2")
    shutil.rmtree(root / "gear" / "validation")
    run(config_of(root, "evaluation.every=1", "trainer.epochs=2"), tmp_path / "run")
    found = record(tmp_path / "run")
    assert found["metrics"]["threshold/seg_f1"] is None
    assert found["undefined"]["threshold/seg_f1"] == NO_THRESHOLD
    header = (tmp_path / "run" / "evaluations.csv").read_text().splitlines()[0]
    assert "seg_f1" not in header


def test_other_data_sets_have_neither(tiny_config, tmp_path):
    run(tiny_config("dataset.validation_fraction=0.4"), tmp_path)
    found = record(tmp_path)
    assert not any("spro" in name or "seg_f1" in name for name in found["metrics"])
