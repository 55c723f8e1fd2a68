import json
from dataclasses import asdict, fields

import pytest
import torch
from helpers.tiny import make_pyramid
from safetensors.torch import load_file, save_file

from cfa_lab import fit_pyramid
from cfa_lab.data.geometry import Geometry
from cfa_lab.errors import UserError
from cfa_lab.method.backbone import Architecture
from cfa_lab.training.description import OF_BACKBONE, ModelDescription, ModelThresholds
from cfa_lab.training.model_files import load_description, load_detector, save_model


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
        (
            "image",
            {"resize": "stretch", "height": 10**6, "width": 10**6},
            "1000000 x 1000000 pixels",
        ),
        ("image", 7, "describes no model"),
        ("backbone", {"model": "resnet18", "layers": ["layer1"], "other": 1}, "backbone.other"),
        ("backbone", {"model": "resnet18", "layers": 7}, "backbone.layers 7"),
        ("backbone", {"model": "resnet18", "layers": [7]}, "backbone.layers"),
        ("backbone", {"model": "resnet18"}, "no 'layers'"),
        ("backbone", {"model": "resnet18", "layers": ["a"], "std": [1, 0, 1]}, "backbone.std"),
        ("backbone", {"model": "resnet18", "layers": ["a"], "mean": [1.0]}, "backbone.mean"),
        ("num_threads", -3, "num_threads -3"),
        ("num_threads", 10**9, "num_threads 1000000000"),
        ("num_threads", "two", "num_threads 'two'"),
        ("backbone_weights", 5, "backbone_weights 5"),
        ("versions", [], "versions"),
    ],
)
def test_a_description_of_what_no_model_has_is_refused(tmp_path, part, value, said):
    save(tmp_path, fit_pyramid(make_pyramid(2), epochs=0)[0])
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: value}))
    with pytest.raises(UserError, match=said):
        load_description(tmp_path)


def test_a_backbone_is_described_by_the_fields_of_its_class():
    assert {field.name for field in fields(Architecture)} == OF_BACKBONE
