"""Protocol: thresholds from normal images, curves over epochs, and everything oracle kept apart."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from cfa_lab import reference
from cfa_lab.bench.literal_pro import literal_aupro
from cfa_lab.data.geometry import Geometry
from cfa_lab.errors import UserError
from cfa_lab.evaluation.evaluate import sample_mask
from cfa_lab.evaluation.maps import full_map, score_images, to_window, write_maps
from cfa_lab.evaluation.summary import best_on_test
from cfa_lab.method.scoring import Scoring
from cfa_lab.run.prepare import make_extractor
from cfa_lab.run.run import run
from cfa_lab.run.tables import read_table
from cfa_lab.training.model_files import load_detector


def record(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def thresholded(tmp_path_factory, tiny_root):
    from helpers.tiny import TINY_RUN, compose

    config = compose(
        *TINY_RUN,
        f"dataset.root={tiny_root}",
        "dataset.validation_fraction=0.4",
        "evaluation.every=1",
        "evaluation.threshold=mean_sd",
    )
    folder = tmp_path_factory.mktemp("thresholded")
    run(config, folder)
    return config, folder


def test_metrics_agree_with_scikit_learn_and_the_literal_aupro_on_the_runs_own_maps(thresholded):
    config, folder = thresholded
    table = read_table(config)
    extractor, _ = make_extractor(config, torch.device("cpu"))
    maps, masks, labels, scores = [], [], [], []
    for scored, window_map in score_images(load_detector(folder), extractor, table, table.test):
        maps.append(window_map.numpy())
        mask = sample_mask(table, scored.sample, scored.placement)
        assert mask is not None
        masks.append(mask)
        labels.append(scored.sample.label)
        scores.append(scored.score)
    found = record(folder)["metrics"]
    pixels, truth = (np.concatenate([a.ravel() for a in arrays]) for arrays in (maps, masks))
    expected = {
        "image_auroc": roc_auc_score(labels, scores),
        "image_ap": average_precision_score(labels, scores),
        "pixel_auroc": roc_auc_score(truth, pixels),
        "pixel_ap": average_precision_score(truth, pixels),
    } | dict(
        zip(("aupro_30", "aupro_05"), literal_aupro(maps, masks, limits=[0.3, 0.05]), strict=True)
    )
    for name, value in expected.items():
        assert found[f"test/{name}"] == pytest.approx(value, abs=1e-9), name


def test_thresholds_come_from_held_out_images_and_decide_predictions(thresholded):
    config, folder = thresholded
    found = record(folder)
    table = read_table(config)
    assert (len(table.train), len(table.validation)) == (3, 2)
    assert found["protocol"]["num_validation"] == 2
    extractor, _ = make_extractor(config, torch.device("cpu"))
    detector = load_detector(folder)
    held_out = [s.score for s, _ in score_images(detector, extractor, table, table.validation)]
    expected = np.mean(held_out) + 3 * np.std(held_out)
    threshold = found["metrics"]["threshold/image_threshold"]
    assert threshold == pytest.approx(expected)
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["decision"] for row in rows] == [
        str(int(float(row["score"]) >= threshold)) for row in rows
    ]
    for row in rows:
        lower = [score < float(row["score"]) for score in held_out]
        assert float(row["normal_percentile"]) == pytest.approx(100 * np.mean(lower))
        assert (int(row["defect_area"]) > 0) == (row["label"] == "1")
    misses = [r for r in rows if r["label"] == "1" and r["decision"] == "0"]
    assert found["metrics"]["threshold/image_miss_rate"] == pytest.approx(len(misses) / 3)


def test_what_looked_at_test_labels_is_under_oracle_only(thresholded):
    found = record(thresholded[1])
    assert {name.partition("/")[0] for name in found["metrics"]} == {"test", "threshold"}
    assert {name.partition("/")[0] for name in found["oracle"]} == {"oracle"}
    for name in ("image_f1max_threshold", "image_threshold_gap", "best_image_auroc_epoch"):
        assert f"oracle/{name}" in found["oracle"]
    gap = found["oracle"]["oracle/image_threshold_gap"]
    difference = (
        found["metrics"]["threshold/image_threshold"]
        - found["oracle"]["oracle/image_f1max_threshold"]
    )
    assert gap == pytest.approx(difference)


def test_curves_over_epochs_end_with_the_result_and_best_epochs_are_their_maxima(thresholded):
    folder = thresholded[1]
    found = record(folder)
    with (folder / "evaluations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    for name, value in found["metrics"].items():
        if name.startswith("test/"):
            assert float(rows[-1][name]) == value
            best = found["oracle"][f"oracle/best_{name.removeprefix('test/')}"]
            assert best == max(float(row[name]) for row in rows) >= value


def test_intervals_contain_their_metric_and_have_the_configured_draws(thresholded):
    found = record(thresholded[1])
    assert found["protocol"]["num_resamples"] == 1000
    for name, bounds in found["intervals"].items():
        low, high = bounds
        assert 0 <= low <= high <= 1
        assert low - 0.05 <= found["metrics"][name] <= high + 0.05


def test_no_image_held_out_means_no_threshold(tiny_config, tmp_path):
    run(tiny_config("evaluation.resamples=0"), tmp_path)
    found = record(tmp_path)
    assert not any(name.startswith("threshold/") for name in found["metrics"])
    assert found["intervals"] == {}
    assert found["protocol"]["threshold_rule"] is None


def test_holding_out_everything_is_refused(tiny_config, tmp_path):
    with pytest.raises(UserError, match="validation_fraction"):
        run(tiny_config("dataset.limit_train=1", "dataset.validation_fraction=0.5"), tmp_path)


def test_best_on_test_takes_the_first_of_equal_epochs_and_skips_undefined():
    rows = [
        {"epoch": 0, "test/a": 0.5, "test/b": None},
        {"epoch": 4, "test/a": 0.7, "test/b": None},
        {"epoch": 9, "test/a": 0.7, "test/b": None},
    ]
    assert best_on_test(rows) == {
        "oracle/best_a": 0.7,
        "oracle/best_a_epoch": 4,
        "oracle/best_b": None,
        "oracle/best_b_epoch": None,
    }


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry(resize="stretch", height=32, width=48),
        Geometry(resize="letterbox", height=64, width=32),
        Geometry(resize="shorter_side", size=40, crop=32, height=32, width=32),
    ],
)
def test_a_ramp_lands_where_it_came_from(geometry):
    """A map that equals its own row in the original image must come back as that row."""
    placement = geometry.plan((90, 60)).placement
    top, left, height, width = placement.content
    first, _, window_height, window_width = placement.window
    ramp = torch.zeros(1, *geometry.input_size)
    rows = first + (torch.arange(height) + 0.5) * window_height / height - 0.5
    ramp[0, top : top + height, left : left + width] = rows[:, None]
    window = to_window(ramp, placement)[0]
    assert window.shape == (window_height, window_width)
    inner = window[3:-3]
    expected = (first + torch.arange(window_height)[3:-3, None]).expand_as(inner).float()
    torch.testing.assert_close(inner, expected, rtol=0, atol=0.51)


@pytest.mark.parametrize("reducer", ["max", "top_mean"])
@pytest.mark.parametrize("resize, rows", [("letterbox", slice(6, 59)), ("stretch", slice(64))])
def test_image_scores_leave_padding_out(thresholded, monkeypatch, reducer, resize, rows):
    """Letterboxing 40 x 48 into 64 x 64 leaves 6 rows above and 5 below; stretching none."""
    ramp = torch.arange(64.0 * 64).view(1, 64, 64)  # highest in the last row
    monkeypatch.setattr(Scoring, "maps", lambda *_: ramp)
    config, folder = thresholded
    table, detector = read_table(config), load_detector(folder)
    detector.scoring = replace(detector.scoring, reducer=reducer)
    extractor, _ = make_extractor(config, torch.device("cpu"))
    extractor = replace(extractor, geometry=Geometry(resize=resize, height=64, width=64))
    scored, window_map = next(score_images(detector, extractor, table, table.test))
    assert scored.score == float(detector.scoring.image_scores(ramp[:, rows]))
    assert window_map.shape == (40, 48)


def test_maps_of_images_that_differ_in_their_suffix_do_not_overwrite_each_other(
    thresholded, tmp_path
):
    config, folder = thresholded
    detector, table = load_detector(folder), read_table(config)
    extractor, _ = make_extractor(config, torch.device("cpu"))
    images = [scored for scored, _ in score_images(detector, extractor, table, table.test[:3])]
    names = ["good/000.png", "good/000.jpg", "good/001.v2.png"]
    images = [
        replace(image, sample=replace(image.sample, path=f"square/test/{name}"))
        for image, name in zip(images, names, strict=True)
    ]
    write_maps(tmp_path, detector, images, extractor.geometry.input_size)
    written = ["good/000.png.tiff", "good/000.jpg.tiff", "good/001.v2.tiff"]
    assert len(list(tmp_path.rglob("*.*"))) == 3
    for image, name in zip(images, written, strict=True):
        expected = full_map(detector, image, extractor.geometry.input_size).astype(np.float16)
        assert np.array_equal(tifffile.imread(tmp_path / "square" / "test" / name), expected)


def test_full_maps_are_nan_outside_the_window_only(thresholded):
    config, folder = thresholded
    table = read_table(config)
    extractor, _ = make_extractor(config, torch.device("cpu"))
    detector = load_detector(folder)
    scored, window_map = next(score_images(detector, extractor, table, table.test))
    full = full_map(detector, scored, extractor.geometry.input_size)
    assert full.shape == (40, 48)
    assert not any(math.isnan(value) for value in full.ravel())
    assert np.array_equal(full, window_map.numpy())
    literal = reference.score_maps(scored.patch_scores[None], extractor.geometry.input_size)
    assert scored.score == pytest.approx(float(literal.max()), rel=1e-5)
