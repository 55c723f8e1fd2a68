import json

import pytest
import torch
from helpers.tiny import make_pyramid

from cfa_lab import fit_pyramid
from cfa_lab.config import load_settings
from cfa_lab.data.geometry import Geometry
from cfa_lab.errors import UserError
from cfa_lab.method.backbone import Architecture
from cfa_lab.training.checkpoint import (
    load_detector,
    restore_state,
    save_model,
    save_state,
    state_position,
)
from cfa_lab.training.fit import detector_of, new_fit, train
from cfa_lab.training.state import Fit, Observer

ARCHITECTURE = Architecture(model="resnet18", layers=["layer1", "layer2", "layer3"])
GEOMETRY = Geometry(resize="stretch", height=32, width=24)


def save(folder, detector):
    save_model(
        folder,
        detector,
        architecture=ARCHITECTURE,
        geometry=GEOMETRY,
        features={"dtype": "half"},
        weights_hash="0",
    )


def test_a_saved_model_scores_bit_for_bit_as_before(tmp_path):
    levels = make_pyramid(3)
    detector, _ = fit_pyramid(levels, preset="anomalib", gamma_c=2, epochs=2)
    save(tmp_path, detector)
    loaded = load_detector(tmp_path)
    assert torch.equal(loaded.score(levels), detector.score(levels))
    assert loaded.scoring == detector.scoring
    assert torch.equal(loaded.radius, detector.radius)


def test_a_damaged_or_missing_model_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load_detector(tmp_path)
    save(tmp_path, fit_pyramid(make_pyramid(2), epochs=0)[0])
    description = json.loads((tmp_path / "model.json").read_text())
    del description["channels"]
    (tmp_path / "model.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match="channels"):
        load_detector(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not a model")
    with pytest.raises(UserError, match="cannot be read"):
        load_detector(tmp_path)


@pytest.mark.parametrize("preset", ["official", "paper", "anomalib"])
def test_an_interrupted_fit_continues_to_the_same_numbers(tmp_path, preset):
    levels = make_pyramid(6)
    values = load_settings(preset)
    values.trainer.epochs, values.trainer.batch_size, values.optimizer.lr = 5, 2, 1e-2
    whole, history = fit_pyramid(levels, preset=values)

    def stop_after_two(fit: Fit) -> None:
        if fit.next_epoch == 2:
            save_state(tmp_path, fit, fit_key="k")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_pyramid(levels, preset=values, observer=Observer(epoch=stop_after_two))
    assert state_position(tmp_path)["next_epoch"] == "2"

    fit = new_fit(levels, values, pooled=False)
    restore_state(tmp_path, fit, fit_key="k")
    rest = train(fit, Observer())
    assert rest == history[len(history) - len(rest) :]
    assert rest[0]["epoch"] == 2
    assert torch.equal(detector_of(fit).score(levels), whole.score(levels))


def test_a_state_of_another_run_is_refused(tmp_path):
    def keep(fit: Fit) -> None:
        save_state(tmp_path, fit, fit_key="k")

    fit_pyramid(make_pyramid(2), epochs=1, observer=Observer(epoch=keep))
    fit = new_fit(make_pyramid(2), load_settings("official"))
    with pytest.raises(UserError, match="belongs to another run"):
        restore_state(tmp_path, fit, fit_key="other")


def test_a_damaged_state_is_one_clear_line(tmp_path):
    assert state_position(tmp_path) == {}
    (tmp_path / "state.safetensors").write_bytes(b"no state")
    with pytest.raises(UserError, match="damaged"):
        state_position(tmp_path)


@pytest.mark.parametrize("kind", ["mean", "ema", "sample", "coreset", "both"])
@pytest.mark.parametrize("done", [1, 4, 5])
def test_a_solution_continues_from_any_image_to_the_same_numbers(tmp_path, monkeypatch, kind, done):
    monkeypatch.setattr("cfa_lab.training.solve.GROUP", 1)
    levels = make_pyramid(5)
    values = load_settings("lab")
    values.memory_bank.kind = kind
    whole, history = fit_pyramid(levels, preset=values)

    def stop(fit: Fit) -> None:
        if fit.next_image == done:
            save_state(tmp_path, fit, fit_key="k")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_pyramid(levels, preset=values, observer=Observer(image=stop))
    fit = new_fit(levels, values)
    restore_state(tmp_path, fit, fit_key="k")
    assert fit.next_image == done
    assert train(fit, Observer()) == history
    assert torch.equal(detector_of(fit).bank, whole.bank)
    assert torch.equal(detector_of(fit).score(levels), whole.score(levels))
    save_state(tmp_path, fit, fit_key="k")
    solved = new_fit(levels, values)
    restore_state(tmp_path, solved, fit_key="k")
    assert train(solved, Observer()) == []
    assert torch.equal(detector_of(solved).bank, whole.bank)
