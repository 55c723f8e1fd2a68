import json
from typing import Any

import pytest
import torch
from helpers.tiny import make_pyramid

from cfa_lab import fit_pyramid
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
from cfa_lab.training.loop import Fit, Observer

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


@pytest.mark.parametrize("preset", ["official", "paper", "lab"])
def test_an_interrupted_fit_continues_to_the_same_numbers(tmp_path, preset):
    levels = make_pyramid(6)
    values: dict[str, Any] = {"preset": preset, "epochs": 5, "batch_size": 2, "lr": 1e-2}
    whole, history = fit_pyramid(levels, **values)

    def stop_after_two(fit: Fit) -> None:
        if fit.next_epoch == 2:
            save_state(tmp_path, fit, fit_key="k")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_pyramid(levels, observer=Observer(epoch=stop_after_two), **values)
    assert state_position(tmp_path)["next_epoch"] == "2"

    def restore(fit: Fit) -> None:
        restore_state(tmp_path, fit, fit_key="k")

    resumed, rest = fit_pyramid(levels, observer=Observer(begin=restore), **values)
    assert rest == history[len(history) - len(rest) :]
    assert rest[0]["epoch"] == 2
    assert torch.equal(resumed.score(levels), whole.score(levels))


def test_a_state_of_another_run_is_refused(tmp_path):
    def keep(fit: Fit) -> None:
        save_state(tmp_path, fit, fit_key="k")

    fit_pyramid(make_pyramid(2), epochs=1, observer=Observer(epoch=keep))
    with pytest.raises(UserError, match="belongs to another run"):
        fit_pyramid(
            make_pyramid(2),
            epochs=2,
            observer=Observer(begin=lambda fit: restore_state(tmp_path, fit, fit_key="other")),
        )


def test_a_damaged_state_is_one_clear_line(tmp_path):
    assert state_position(tmp_path) == {}
    (tmp_path / "state.safetensors").write_bytes(b"no state")
    with pytest.raises(UserError, match="damaged"):
        state_position(tmp_path)
