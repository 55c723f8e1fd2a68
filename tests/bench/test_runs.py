"""Comparisons of whole commands; anomalib takes part only where someone has it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cfa_lab.bench import decode, files, gpu, many, predict, run, sweep
from cfa_lab.bench.floor import floor_of
from cfa_lab.bench.literal_run import _overlap
from cfa_lab.bench.pictures import CATEGORY, write_category
from cfa_lab.bench.processes import in_own_process, run_command
from cfa_lab.data.layouts import read_samples
from cfa_lab.errors import UserError


def test_made_up_pictures_are_a_category(tmp_path: Path):
    write_category(tmp_path, num_train=3, num_test=5, size=24)
    table = read_samples("mvtec", tmp_path, CATEGORY)
    assert len(table.train) == 3
    assert [sample.label for sample in table.test].count(1) == 2
    assert all(sample.masks for sample in table.test if sample.label)


def test_the_literal_overlap_of_a_case_done_by_hand():
    """One region of two pixels: half of it is found before any normal pixel, the rest last."""
    maps = np.array([[[1.0, 0.0, 0.5, 0.5]]])
    masks = np.array([[[True, True, False, False]]])
    assert _overlap(maps, masks, limit=1.0) == pytest.approx(0.5)


def test_a_floor_is_the_sum_of_its_parts():
    floor = floor_of((4, 6, 5), (64, 48), rounded=False)
    parts = floor["search"] + floor["descriptor"] + floor["bytes"]
    assert floor["seconds_per_image"] == pytest.approx(parts)
    assert min(floor.values()) > 0


def test_a_command_that_fails_is_told_by_its_last_line():
    with pytest.raises(UserError, match="code 3: two"):
        run_command(["sh", "-c", "echo one; echo two; exit 3"], environment={})


def test_a_process_of_its_own_tells_its_memory():
    total, grown = in_own_process(np.ones, 30_000_000)
    assert total.sum() == 30_000_000
    assert grown > 0.9 * 8 * 30_000_000  # less what the process had used before, and given back


@pytest.mark.slow
def test_bench_run_agrees_with_the_literal_procedure(tmp_path: Path, capsys):
    path = tmp_path / "run.json"
    arguments = ["--train", "8", "--test", "6", "--size", "64", "--epochs", "2"]
    run.main([*arguments, "--json", str(path)])
    assert "literal procedure" in " ".join(capsys.readouterr().out.split())
    results = json.loads(path.read_text())["results"]
    assert results["official exact"]["differs"] < 1e-3
    assert results["literal procedure"]["scaled_from"]["epochs"] == 1


@pytest.mark.slow
def test_bench_predict_gives_the_references_maps(tmp_path: Path):
    path = tmp_path / "predict.json"
    predict.main(["--size", "64", "--repeats", "1", "--json", str(path)])
    results = json.loads(path.read_text())["results"]
    assert results["exact, batch 1"]["differs"] < 1e-3
    assert results["fast, batch 16"]["differs"] < 0.05
    for batch_size in (1, 16):
        assert results[f"openvino, batch {batch_size}"]["differs"] < 1e-3
        assert results[f"openvino, batch {batch_size}"]["differs_from_exact"] < 1e-4


@pytest.mark.slow
def test_bench_predict_measures_a_compressed_detector_too(tmp_path: Path):
    path = tmp_path / "predict.json"
    small = ["--size", "64", "--repeats", "1", "--gamma-d", "4", "--gamma-c", "8"]
    predict.main([*small, "--json", str(path)])
    report = json.loads(path.read_text())
    assert (report["setting"]["gamma_d"], report["setting"]["gamma_c"]) == (4, 8)
    assert report["results"]["exact, batch 1"]["differs"] < 1e-3


def test_bench_predict_refuses_what_it_cannot_compare(tmp_path: Path):
    with pytest.raises(UserError, match="--gamma-c"):
        predict.main(["--anomalib", str(tmp_path), "--gamma-c", "2"])
    with pytest.raises(UserError, match="--gamma-d is 0"):
        predict.main(["--gamma-d", "0"])


@pytest.mark.slow
def test_bench_sweep_runs_every_setting(tmp_path: Path):
    path = tmp_path / "sweep.json"
    sweep.main(
        ["--train", "4", "--test", "4", "--size", "64", "--epochs", "1", "--json", str(path)]
    )
    report = json.loads(path.read_text())
    assert report["setting"]["num_settings"] == 32


@pytest.mark.slow
def test_bench_files_scores_every_file(tmp_path: Path):
    path = tmp_path / "files.json"
    arguments = ["--images", "12", "--size", "64", "--repeats", "1", "--json", str(path)]
    files.main(arguments)
    results = json.loads(path.read_text())["results"]
    assert list(results) == ["scoring alone", "predict", "predict, no overlays"]
    assert all(result["seconds"] > 0 for result in results.values())


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
@pytest.mark.slow
def test_bench_gpu_measures_every_part(tmp_path: Path, device: str):
    path = tmp_path / "gpu.json"
    sizes = ["--train", "6", "--test", "4", "--size", "64", "--epochs", "1", "--batch-sizes", "2"]
    sizes += ["--jobs", "2"]
    gpu.main(["--device", device, "--backbone", "resnet18", *sizes, "--json", str(path)])
    parts = json.loads(path.read_text())["reports"]["resnet18"]["parts"]
    steps = parts["training_step"]
    assert steps["exact"]["loss_difference"] < 1e-3
    assert min(step["milliseconds"] for step in steps.values()) > 0
    assert parts["extraction"]["decoded"]["exact, batch 2"] > 0
    assert max(parts["agreement"].values()) < 1e-3
    assert max(parts["metrics"]["lab"].values()) < 1e-2
    assert parts["run of lab"]["after_start"] < parts["run of lab"]["seconds"]
    assert parts["multirun"]["jobs"] == len(parts["multirun"]["after_start"]) == 2
    assert ("peak_device_bytes" in parts["prediction"]) == (device != "cpu")


@pytest.mark.slow
def test_a_part_that_fails_leaves_the_others(monkeypatch):
    def failing(*_):
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(gpu.device_parts, "solved_fit", failing)
    monkeypatch.setattr(gpu, "whole_run", failing)
    setting = gpu.Setting("cpu", "resnet18", 3, 2, 32, 1, (2,))
    saved = []
    report = gpu.run_bench_gpu(setting, epochs=1, save=lambda r: saved.append(len(r["parts"])))
    assert saved == list(range(1, 11))
    errors = {name for name, found in report["parts"].items() if "error" in found}
    assert errors == {"failing", "run of official", "run of lab", "metrics"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_command_says_so():
    with pytest.raises(UserError, match="no CUDA device for --device cuda:0; --device cpu"):
        gpu.main([])


@pytest.mark.slow
def test_reading_is_measured_beside_a_checkout(tmp_path: Path):
    small = ["--images", "1", "--pixels", "24", "--size", "16"]
    beside = ["--beside", str(Path(__file__).parents[2])]
    decode.main([*small, *beside, "--json", str(tmp_path / "out.json")])
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert {*results} == {*decode.KINDS}
    assert all(result["seconds"] > 0 and result["ratio"] > 0 for result in results.values())
    with pytest.raises(UserError, match="must be a checkout of this project"):
        decode.main(["--beside", str(tmp_path)])


@pytest.mark.slow
def test_many_runs_in_one_process_hold_no_more_than_one(tmp_path: Path):
    report = many.run_bench_many(num_runs=30)
    first, last = (report["results"][part] for part in ("first", "last"))
    assert last["descriptors"] == first["descriptors"]
    assert last["threads"] == first["threads"]
    assert last["temporary_files"] == first["temporary_files"]
    assert last["memory_mb"] - first["memory_mb"] < 40
    assert report["seconds"]["plan"] < 10
