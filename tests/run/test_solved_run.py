"""A run whose descriptor is solved for: its files, its seed, and what it refuses or says."""

import json
from pathlib import Path

import pytest
import torch

from cfa_lab.errors import UserError
from cfa_lab.records.history import SOLVED_COLUMNS, read_history
from cfa_lab.run.run import run

SOLVED = ("optimizer=closed_form", "loss.learnable_radius=false")


def record(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def done(tiny_root, tmp_path_factory):
    from helpers.tiny import FIGURES, TINY_RUN, compose

    folder = tmp_path_factory.mktemp("solved") / "run"
    run(compose(*TINY_RUN, FIGURES, f"dataset.root={tiny_root}", *SOLVED), folder)
    return folder


def test_its_history_is_one_line_with_attraction_before_and_after(done):
    assert (done / "history.csv").read_text().splitlines()[0] == ",".join(SOLVED_COLUMNS)
    (row,) = read_history(done)
    assert 0 < row["train/attraction_after"] < row["train/attraction"]
    assert (done / "figures" / "training.png").is_file()
    assert record(done)["protocol"]["left_out_of_bank"] == []
    assert not (done / "state.safetensors").exists()


@pytest.mark.parametrize(
    "change",
    ["trainer.batch_size=3", "trainer.epochs=1", "features.workers=1", "features.cache=false"],
)
def test_nothing_depends_on_batches_workers_or_the_cache(done, tiny_config, tmp_path, change):
    run(tiny_config(*SOLVED, change), tmp_path / "run")
    assert record(tmp_path / "run")["metrics"] == record(done)["metrics"]
    for name in ("history.csv", "predictions.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (done / name).read_bytes()


def test_no_seed_enters_but_through_a_coreset(done, tiny_config, tmp_path):
    for kind, same in (("mean", True), ("coreset", False)):
        found = []
        for seed in (0, 1):
            folder = tmp_path / f"{kind}{seed}"
            more = ("memory_bank.entries=9",) if kind == "coreset" else ()
            run(tiny_config(*SOLVED, f"memory_bank.kind={kind}", f"seed={seed}", *more), folder)
            found.append((folder / "predictions.csv").read_bytes())
        assert (found[0] == found[1]) == same


def test_features_larger_than_memory_give_the_same_bits(done, tiny_config, tmp_path):
    run(tiny_config(*SOLVED, "features.memory_gb=1e-6"), tmp_path / "run")
    assert record(tmp_path / "run")["metrics"] == record(done)["metrics"]


def test_an_interrupted_solution_resumes_to_the_same_files(
    done, tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setattr("cfa_lab.run.watch.SECONDS_BETWEEN_PARTS", 0)
    monkeypatch.setattr("cfa_lab.training.solve.GROUP", 2)
    config = tiny_config(*SOLVED)
    run(config, tmp_path / "whole")
    from cfa_lab.run.watch import Watch

    save = Watch.image

    def stop(self: Watch, fit) -> None:
        save(self, fit)
        if fit.next_image == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Watch, "image", stop)
        with pytest.raises(KeyboardInterrupt):
            run(config, tmp_path / "run")
    assert record(tmp_path / "run")["status"] == "failed"
    run(config, tmp_path / "run")
    assert record(tmp_path / "run")["metrics"] == record(tmp_path / "whole")["metrics"]
    for name in ("history.csv", "predictions.csv"):
        whole = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "run" / name).read_bytes() == whole


@pytest.mark.parametrize(
    "setting, message",
    [
        ("loss.learnable_radius=true", "loss.learnable_radius=true has no closed form"),
        ("loss.squared=false", "loss.squared=false has no closed form"),
        ("loss.r=1.0", "repulsion acts with loss.J=3 loss.r=1"),
        ("loss.alpha_sign=plus", "loss.alpha_sign=plus"),
    ],
)
def test_what_has_no_closed_form_is_refused(tiny_config, setting, message):
    with pytest.raises(UserError) as caught:
        tiny_config(*SOLVED, setting)
    assert message in str(caught.value)
    assert "optimizer=adamw" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_optimizer_that_is_named_wins_over_the_preset(tiny_root):
    from helpers.tiny import compose

    assert compose("category=square").optimizer.name == "closed_form"
    assert compose("category=square", "optimizer=adamw").optimizer.name == "adamw"
    official = compose("preset=official", "optimizer=closed_form", "loss.learnable_radius=false")
    assert official.optimizer.name == "closed_form"
    assert compose("preset=official").optimizer.name == "adamw"


def test_one_training_image_is_enough(tiny_config, tmp_path):
    run(tiny_config(*SOLVED, "dataset.limit_train=1", "memory_bank.kind=both"), tmp_path / "run")
    assert record(tmp_path / "run")["status"] == "complete"
    assert torch.isfinite(torch.tensor(record(tmp_path / "run")["metrics"]["test/image_auroc"]))


def test_changed_settings_that_have_no_part_are_named_in_one_line(tiny_config, tmp_path, caplog):
    run(tiny_config(*SOLVED, "optimizer.lr=0.5", "trainer.epochs=30"), tmp_path / "run")
    (said,) = [m for m in caplog.messages if "has no part for" in m]
    assert "trainer.batch_size=2 optimizer.lr=0.5;" in said
    assert "epochs" not in said
