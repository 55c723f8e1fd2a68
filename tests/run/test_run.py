"""A whole run as a function call: what it leaves, the same bits again, resume, odd test sets."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import FIGURES, TINY_RUN, compose, write_tiny
from PIL import Image

from cfa_lab.config import Config
from cfa_lab.errors import UserError
from cfa_lab.evaluation.maps import score_images
from cfa_lab.run import run as run_module
from cfa_lab.run.prepare import make_extractor
from cfa_lab.run.run import run
from cfa_lab.run.tables import read_table
from cfa_lab.training.model_files import load_detector
from cfa_lab.training.state import Fit

Configure = Callable[..., Config]


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def done(tmp_path_factory, tiny_root) -> tuple[Config, Path]:
    """One finished run that several tests look at."""
    config = compose(*TINY_RUN, FIGURES, f"dataset.root={tiny_root}", "evaluation.maps=true")
    folder = tmp_path_factory.mktemp("run")
    run(config, folder)
    return config, folder


def test_without_cases_there_are_no_figures_at_all(tiny_config: Configure, tmp_path: Path):
    result = run(tiny_config("trainer.epochs=1"), tmp_path / "run")
    assert not result.figures
    assert record(tmp_path / "run")["status"] == "complete"
    assert not (tmp_path / "run" / "figures").exists()


def test_the_folder_is_complete(done):
    _, folder = done
    names = {p.name for p in folder.iterdir()}
    assert names == {
        "metrics.json",
        "history.csv",
        "predictions.csv",
        "diagnostics.json",
        "model.safetensors",
        "model.json",
        "figures",
        "maps",
        "run.log",
    }
    found = record(folder)
    assert found["status"] == "complete"
    assert found["schema"] == 1
    assert set(found["metrics"]) == {
        f"test/{name}"
        for name in (
            *("image_auroc", "image_ap", "image_f1max"),
            *("pixel_auroc", "pixel_ap", "pixel_f1max"),
            *("aupro_30", "aupro_05", "peak_in_defect"),
        )
    }
    assert all(0 <= value <= 1 for value in found["metrics"].values())
    assert set(found["oracle"]) == {
        "oracle/image_f1max_threshold",
        "oracle/pixel_f1max_threshold",
    }
    assert not any("time" in name for name in found["metrics"])


def test_bright_spots_are_found(done):
    """The spots are 90 grey values above noise of 12: even random weights must see them."""
    assert record(done[1])["metrics"]["test/pixel_auroc"] > 0.8


def test_history_and_predictions_have_their_columns(done):
    folder = done[1]
    history = rows(folder / "history.csv")
    assert [int(row["step"]) for row in history] == list(range(9))
    assert [int(row["epoch"]) for row in history] == [0] * 3 + [1] * 3 + [2] * 3
    assert float(history[0]["train/radius"]) == pytest.approx(1e-5)
    predictions = rows(folder / "predictions.csv")
    assert list(predictions[0])[:5] == ["path", "label", "defect", "score", "decision"]
    assert list(predictions[0])[5:] == ["normal_percentile", "defect_area"]
    assert [row["path"] for row in predictions] == sorted(row["path"] for row in predictions)
    assert [(row["label"], row["defect"]) for row in predictions] == [("0", "good")] * 3 + [
        ("1", "spot")
    ] * 3


def test_maps_are_full_size_float16_in_mvtecs_layout(done):
    import tifffile

    paths = sorted((done[1] / "maps").rglob("*.tiff"))
    assert paths[0].relative_to(done[1] / "maps").as_posix() == ("square/test/good/000.tiff")
    values = tifffile.imread(paths[0])
    assert values.shape == (40, 48)
    assert values.dtype == np.float16


def test_the_saved_model_scores_test_images_bit_for_bit(done):
    config, folder = done
    table = read_table(config)
    extractor, _ = make_extractor(config, torch.device("cpu"))
    scores = [
        scored.score
        for scored, _ in score_images(load_detector(folder), extractor, table, table.test)
    ]
    written = [float(row["score"]) for row in rows(folder / "predictions.csv")]
    assert scores == written


def test_the_same_seed_gives_the_same_bits_and_another_does_not(done, tiny_config, tmp_path):
    again = run(tiny_config(), tmp_path / "again")
    other = run(tiny_config("seed=1"), tmp_path / "other")
    first = record(done[1])
    assert record(again.folder)["metrics"] == first["metrics"]
    for name in ("history.csv", "predictions.csv"):
        assert (again.folder / name).read_bytes() == (done[1] / name).read_bytes()
    assert (other.folder / "predictions.csv").read_bytes() != (
        done[1] / "predictions.csv"
    ).read_bytes()
    assert record(again.folder)["run_key"] == first["run_key"] != record(other.folder)["run_key"]


def test_the_key_ignores_what_cannot_change_a_number(done, tiny_config, tmp_path, tiny_root):
    moved = tmp_path / "elsewhere"
    shutil.copytree(tiny_root, moved)
    config = tiny_config(f"dataset.root={moved}", "tracker.project=other", "features.workers=1")
    found = run(config, tmp_path / "run")
    assert record(found.folder)["run_key"] == record(done[1])["run_key"]


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_interrupted_run_resumes_to_the_same_files(
    done, tiny_config, tmp_path, monkeypatch, epoch
):
    """Stopped in the middle of training, and after its end."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setattr("cfa_lab.run.watch.SECONDS_BETWEEN_STATES", 0)
    save = run_module.checkpoint.save_state

    def interrupt(folder: Path, fit: Fit, *, fit_key: str) -> None:
        save(folder, fit, fit_key=fit_key)
        if fit.next_epoch == epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_module.checkpoint, "save_state", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_config(), folder)
    assert record(folder)["status"] == "failed"
    assert (folder / "state.safetensors").is_file()

    run(tiny_config(), folder)
    assert record(folder)["metrics"] == record(done[1])["metrics"]
    for name in ("history.csv", "predictions.csv"):
        assert (folder / name).read_bytes() == (done[1] / name).read_bytes()
    assert not (folder / "state.safetensors").exists()


def test_a_state_of_other_settings_is_refused(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "evaluate", None)
    with pytest.raises(TypeError):
        run(tiny_config(), tmp_path)
    assert record(tmp_path)["status"] == "failed"
    with pytest.raises(UserError, match="other settings"):
        run(tiny_config("seed=5", f"resume='{tmp_path}'"), tmp_path)
    assert (tmp_path / "state.safetensors").is_file()


def test_resume_never_and_another_run_in_the_same_folder_start_anew(
    done, tiny_config, tmp_path, monkeypatch
):
    """As when a multirun is sent to the same folders twice."""
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "evaluate", None)
        with pytest.raises(TypeError):
            run(tiny_config("seed=5"), tmp_path)
        with pytest.raises(TypeError):
            run(tiny_config("trainer.epochs=1"), tmp_path)
        with pytest.raises(TypeError):
            run(tiny_config("resume=never", "trainer.epochs=1"), tmp_path)
        assert len(rows(tmp_path / "history.csv")) == 3
    run(tiny_config(), tmp_path)
    assert (tmp_path / "history.csv").read_bytes() == (done[1] / "history.csv").read_bytes()


@pytest.mark.parametrize("more", [[], ["resume=never"], ["seed=5"]])
def test_a_complete_run_is_never_cleared(done, tiny_config, more):
    folder = done[1]
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    for resume in ([], [f"resume='{folder}'"]) if "resume=never" not in more else ([],):
        with pytest.raises(UserError, match=r"holds a complete run, which stays"):
            run(tiny_config(*more, *resume), folder)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_a_bad_test_image_fails_after_training_and_resumes_once_mended(
    done, tiny_config: Configure, tmp_path
):
    root = tiny_variant(tmp_path)
    image = tmp_path / "data" / "square" / "test" / "spot" / "001.png"
    good = image.read_bytes()
    image.write_bytes(b"no image")
    folder = tmp_path / "run"
    with pytest.raises(UserError, match=r"001\.png"):
        run(tiny_config(root), folder)
    image.write_bytes(good)
    run(tiny_config(root, f"resume='{folder}'"), folder)
    found = record(folder)
    assert found["metrics"] == record(done[1])["metrics"]
    assert found["run_key"] == record(done[1])["run_key"]


def tiny_variant(tmp_path: Path, **values: int) -> str:
    write_tiny(tmp_path / "data" / "square", **values)
    return f"dataset.root={tmp_path / 'data'}"


@pytest.mark.parametrize("values", [{"defects": 0}, {"normal": 0}])
def test_a_test_set_of_one_kind_completes_with_reasons(tiny_config: Configure, tmp_path, values):
    result = run(tiny_config(tiny_variant(tmp_path, **values)), tmp_path / "run")
    found = record(result.folder)
    assert found["status"] == "complete"
    assert found["metrics"]["test/image_auroc"] is None
    assert found["undefined"]["test/image_auroc"]
    undefined = {name for name, value in found["metrics"].items() if value is None}
    assert undefined == set(found["undefined"])


def test_defects_without_masks_have_image_metrics_only(tiny_config: Configure, tmp_path):
    root = tiny_variant(tmp_path)
    shutil.rmtree(tmp_path / "data" / "square" / "ground_truth")
    found = record(run(tiny_config(root), tmp_path / "run").folder)
    assert found["metrics"]["test/image_auroc"] is not None
    assert found["metrics"]["test/pixel_auroc"] is None
    assert found["undefined"]["test/pixel_auroc"]


@pytest.mark.parametrize("preset", ["official", "paper", "anomalib"])
def test_one_training_image_and_every_preset(tiny_config: Configure, tmp_path, preset):
    config = tiny_config(
        f"preset={preset}",
        "dataset.limit_train=1",
        *(["image.size=72", "image.crop=64"] if preset != "anomalib" else []),
    )
    found = record(run(config, tmp_path).folder)
    assert found["status"] == "complete"
    assert found["protocol"]["num_train"] == 1


def test_a_crop_is_scored_within_its_window_only(tiny_config: Configure, tmp_path):
    config = tiny_config(
        "image.resize=shorter_side", "image.size=80", "image.crop=64", "evaluation.maps=true"
    )
    found = record(run(config, tmp_path).folder)
    assert found["protocol"]["defect_pixels_outside_ratio"] > 0


def test_a_corrupt_training_image_leaves_nothing(tiny_config: Configure, tmp_path):
    root = tiny_variant(tmp_path)
    (tmp_path / "data" / "square" / "train" / "good" / "002.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"002\.png"):
        run(tiny_config(root), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_mask_of_another_size_fails_after_training_and_resumes_once_mended(
    done, tiny_config: Configure, tmp_path
):
    root = tiny_variant(tmp_path)
    mask = tmp_path / "data" / "square" / "ground_truth" / "spot" / "001_mask.png"
    good = mask.read_bytes()
    Image.fromarray(np.zeros((5, 5), dtype=np.uint8)).save(mask)
    folder = tmp_path / "run"
    with pytest.raises(UserError, match=r"001_mask\.png"):
        run(tiny_config(root), folder)
    found = record(folder)
    assert found["status"] == "failed"
    assert "001_mask.png" in found["error"]
    assert (folder / "state.safetensors").is_file()
    mask.write_bytes(good)
    run(tiny_config(root), folder)
    assert record(folder)["metrics"] == record(done[1])["metrics"]


def test_no_test_image_is_opened_before_training_ends(tiny_config: Configure, tmp_path):
    """Runs in a process of its own, because an audit hook cannot be taken off again."""
    import subprocess
    import sys

    root = tiny_config().dataset.root
    script = f"""
import sys
events = []
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        events.append(arguments[0])
sys.addaudithook(hook)
import cfa_lab.run.run
from helpers import tiny
from pathlib import Path
train = cfa_lab.run.run.train
def fit(*arguments, **values):
    fitted = train(*arguments, **values)
    events.append("TRAINED")
    return fitted
cfa_lab.run.run.train = fit
config = tiny.compose(*{TINY_RUN!r}, "dataset.root={root}")
cfa_lab.run.run.run(config, Path({str(tmp_path / "run")!r}))
trained = events.index("TRAINED")
def test_files(paths):
    return [p for p in paths if "/square/test/" in p or "/ground_truth/" in p]
assert [p for p in events[:trained] if "/square/train/" in p], "the hook saw no training image"
assert not test_files(events[:trained]), test_files(events[:trained])
assert test_files(events[trained:])
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
