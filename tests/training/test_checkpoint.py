import json
from dataclasses import asdict

import pytest
import torch
from helpers.tiny import make_pyramid
from safetensors.torch import load_file, save_file

from cfa_lab import fit_pyramid
from cfa_lab.config import load_settings
from cfa_lab.data.geometry import Geometry
from cfa_lab.errors import UserError
from cfa_lab.training import checkpoint
from cfa_lab.training.checkpoint import (
    load_description,
    load_detector,
    restore_state,
    save_model,
    save_state,
    state_position,
)
from cfa_lab.training.description import ModelDescription, ModelThresholds
from cfa_lab.training.fit import detector_of, new_fit, train
from cfa_lab.training.state import Fit, Observer


def describe(detector):
    return ModelDescription(
        channels=list(detector.descriptor.channels),
        scoring=asdict(detector.scoring),
        backbone={"model": "resnet18", "layers": ["layer1", "layer2", "layer3"]},
        backbone_weights_hash="0",
        image=Geometry(resize="stretch", height=32, width=24),
        features={"dtype": "half"},
        thresholds=ModelThresholds(image=0.5, pixel=0.25, origin={"rule": "quantile"}),
        colour_range=(0.0, 1.0),
    )


def save(folder, detector):
    save_model(folder, detector, describe(detector))


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


def test_a_description_comes_back_as_it_was_written(tmp_path):
    detector, _ = fit_pyramid(make_pyramid(2), epochs=0)
    save(tmp_path, detector)
    assert load_description(tmp_path) == describe(detector)


def test_descriptions_of_the_first_schema_are_read_and_of_later_ones_refused(tmp_path):
    save(tmp_path, fit_pyramid(make_pyramid(2), epochs=0)[0])
    path = tmp_path / "model.json"
    values = json.loads(path.read_text())
    first = ("channels", "scoring", "backbone", "backbone_weights_hash", "image", "features")
    path.write_text(json.dumps({name: values[name] for name in first} | {"schema": 1}))
    assert load_description(tmp_path).thresholds is None
    path.write_text(json.dumps(values | {"schema": 99}))
    with pytest.raises(UserError, match="schema 99"):
        load_description(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("bank", torch.full((6, 4), torch.nan), "bank holds what is no finite number"),
        ("bank", torch.zeros(6, 5), "do not fit"),
        ("bank", torch.zeros(24), "do not fit"),
        ("descriptor.bias", torch.zeros(7), "do not fit"),
        ("descriptor.weight", torch.zeros(3, 3), "do not fit"),
        ("radius", torch.zeros(2), "do not fit"),
        ("radius", torch.tensor(1), "no finite number"),
        ("descriptor.bias", None, "descriptor.bias"),
    ],
)
def test_tensors_that_cannot_be_a_model_are_named(tmp_path, name, value, said):
    detector, _ = fit_pyramid(make_pyramid(2), epochs=0)
    save(tmp_path, detector)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors[name]
    save_file(tensors | ({} if value is None else {name: value}), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=said):
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


def saved_fit(folder, *, optimizer: str = "adamw") -> Fit:
    """A fit in its second epoch or after some of its images, with its state in the folder."""
    values = load_settings("lab")
    values.optimizer.name = optimizer
    values.trainer.epochs, values.trainer.batch_size = 3, 2

    def keep(fit: Fit) -> None:
        if fit.next_epoch == 1 or 0 < fit.next_image < 6:
            save_state(folder, fit, fit_key="k")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_pyramid(make_pyramid(6), preset=values, observer=Observer(epoch=keep, image=keep))
    return new_fit(make_pyramid(6), values)


@pytest.mark.parametrize("optimizer", ["adamw", "closed_form"])
def test_a_state_with_any_flipped_bit_is_refused(tmp_path, optimizer):
    fit = saved_fit(tmp_path, optimizer=optimizer)
    path = tmp_path / "state.safetensors"
    good = path.read_bytes()
    weight = fit.descriptor.weight.detach().clone()
    numbers = torch.Generator().manual_seed(0)
    for _ in range(200):
        place = int(torch.randint(len(good), (), generator=numbers))
        content = bytearray(good)
        content[place] ^= 1 << int(torch.randint(8, (), generator=numbers))
        path.write_bytes(content)
        with pytest.raises(UserError, match="start a new run without resume="):
            state_position(tmp_path)
        with pytest.raises(UserError):
            restore_state(tmp_path, fit, fit_key="k")
    assert torch.equal(fit.descriptor.weight, weight), "nothing of it was taken"
    path.write_bytes(good)
    restore_state(tmp_path, fit, fit_key="k")
    assert not torch.equal(fit.descriptor.weight, weight) or optimizer == "closed_form"


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_shortened_state_is_refused(tmp_path, kept):
    saved_fit(tmp_path)
    path = tmp_path / "state.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match="damaged"):
        state_position(tmp_path)


@pytest.mark.parametrize(
    ("changed", "position", "said"),
    [
        ({"weight": torch.ones(1, 17)}, {}, "weight is torch.float32"),
        ({"bias": torch.ones(1)}, {}, "bias is"),
        ({"bank": torch.ones(1, 15)}, {}, "bank is"),
        ({"radius": torch.ones(1)}, {}, "radius is"),
        ({"radius": torch.ones((), dtype=torch.float64)}, {}, "radius is torch.float64"),
        ({"radius": torch.tensor(torch.nan)}, {}, "no finite number"),
        ({"optimizer.0.exp_avg": torch.ones(1)}, {}, "exp_avg is"),
        ({"optimizer.0.step": None}, {}, "tells otherwise"),
        ({"optimizer.1.exp_avg_sq": None}, {}, "tells otherwise"),
        ({"optimizer.7.step": torch.ones(())}, {}, "tells otherwise"),
        ({"other": torch.ones(())}, {}, "tells otherwise"),
        ({}, {"next_epoch": "2"}, "do not go together"),
        ({}, {"next_epoch": "9", "next_step": "27"}, "do not go together"),
        ({}, {"next_step": "2"}, "do not go together"),
        ({}, {"next_image": "1"}, "do not go together"),
        ({}, {"next_step": "-3"}, "no state of a run"),
        ({}, {"next_step": "3.0"}, "no state of a run"),
    ],
)
def test_a_state_that_is_whole_but_not_of_this_fit_is_refused(tmp_path, changed, position, said):
    fit = saved_fit(tmp_path)
    path = tmp_path / "state.safetensors"
    tensors, before = checkpoint._read_tensors(path)
    tensors = {name: value for name, value in (tensors | changed).items() if value is not None}
    metadata = {k: v for k, v in (before | position).items() if k != checkpoint.CHECKSUM}
    checkpoint._save_tensors(path, tensors, metadata)
    with pytest.raises(UserError, match=said):
        restore_state(tmp_path, fit, fit_key="k")
    assert fit.next_step == 0


def test_a_state_of_an_earlier_version_is_refused(tmp_path):
    """Those had no checksum, so nobody can tell what became of them."""
    fit = saved_fit(tmp_path)
    path = tmp_path / "state.safetensors"
    tensors, metadata = checkpoint._read_tensors(path)
    del metadata[checkpoint.CHECKSUM]
    save_file(tensors, path, metadata)
    with pytest.raises(UserError, match="of an earlier version"):
        restore_state(tmp_path, fit, fit_key="k")


def test_a_model_with_a_flipped_bit_is_refused_and_one_without_checksum_is_read(tmp_path):
    detector, _ = fit_pyramid(make_pyramid(2), epochs=0)
    save(tmp_path, detector)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="its checksum is wrong"):
        load_detector(tmp_path)
    save_file(detector.state_dict(), path)
    assert torch.equal(load_detector(tmp_path).bank, detector.bank)


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("schema", "new", "schema 'new'"),
        ("channels", [4, -6, 5], "channels"),
        ("channels", [], "channels"),
        ("channels", [4.0], "channels"),
        ("channels", 7, "describes no model"),
        ("scoring", [], "scoring"),
        ("features", {"dtype": "quarter"}, "features.dtype"),
        ("features", {"precision": "any"}, "features.precision"),
        ("thresholds", {"image": float("nan"), "pixel": 1.0}, "image threshold nan"),
        ("thresholds", {"image": "x", "pixel": 1.0}, "describes no model"),
        ("image", {"resize": "other", "height": 4, "width": 4}, "describes no model"),
    ],
)
def test_a_description_of_what_no_model_has_is_refused(tmp_path, part, value, said):
    save(tmp_path, fit_pyramid(make_pyramid(2), epochs=0)[0])
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: value}))
    with pytest.raises(UserError, match=said):
        load_description(tmp_path)
