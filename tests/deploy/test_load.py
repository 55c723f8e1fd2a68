import json
import shutil

import numpy as np
import pytest
import torch
from helpers.tiny import TINY_RUN, compose
from safetensors.torch import load_file, save_file

from cfa_lab import load
from cfa_lab.errors import UserError
from cfa_lab.features.networks import make_network
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.records.record import write_reuse
from cfa_lab.run.run import run
from cfa_lab.training.model_files import load_description, write_description


@pytest.fixture
def copied(tiny_run, tmp_path):
    """A model's folder as W&B keeps it: two files."""
    for name in ("model.safetensors", "model.json"):
        shutil.copy(tiny_run / name, tmp_path / name)
    return tmp_path


def test_scores_are_the_runs_own_to_the_last_bit(tiny_run, tiny_root, run_scores):
    detector = load(tiny_run)
    found = detector.predict([tiny_root / path for path in run_scores])
    assert [str(score) for score in found.scores] == list(run_scores.values())


@pytest.mark.parametrize(
    "overrides",
    [
        ("preset=official", "backbone.weights=random"),
        ("image.resize=letterbox", "image.width=96"),
        ("image.resize=tile", "image.height=32", "image.width=32", "image.overlap=0"),
        ("optimizer=closed_form", "loss.learnable_radius=false", "memory_bank.kind=both"),
        ("features.dtype=float32", "scoring.reducer=top_mean", "scoring.top_fraction=0.1"),
    ],
    ids=lambda overrides: overrides[0],
)
def test_every_way_of_preparing_an_image_scores_as_the_run_did(tmp_path, tiny_root, overrides):
    overrides = ("image.size=64", "image.crop=null", *overrides)
    if overrides[2] == "preset=official":
        overrides = (*overrides, "image.crop=48")
    config = compose(*TINY_RUN, f"dataset.root={tiny_root}", *overrides)
    result = run(config, tmp_path / "run")
    detector = load(tmp_path / "run")
    images = result.evaluation.images
    found = detector.predict([tiny_root / image.sample.path for image in images])
    assert found.scores.tolist() == [image.score for image in images]
    assert found.decisions is None
    assert {one.shape for one in found.maps} == {(40, 48)}


def test_a_models_folder_alone_is_enough(copied, tiny_run, tiny_root, run_scores):
    paths = [tiny_root / path for path in run_scores]
    ours, run_s = load(copied).predict(paths), load(tiny_run).predict(paths)
    assert np.array_equal(ours.scores, run_s.scores)
    assert ours.decisions is not None and run_s.decisions is not None
    assert np.array_equal(ours.decisions, run_s.decisions)
    assert np.array_equal(load(copied / "model.json").predict(paths).scores, run_s.scores)


def test_a_reused_run_leads_to_the_one_it_stands_for(tiny_run, tmp_path, tiny_root, run_scores):
    write_reuse(tmp_path / "again", tiny_run, {"status": "complete"}, {})
    path = tiny_root / next(iter(run_scores))
    again, there = load(tmp_path / "again"), load(tiny_run)
    assert again.predict(path).scores == there.predict(path).scores


def test_a_backbone_inside_the_model_needs_no_other_source(copied, tiny_root, run_scores):
    description = load_description(copied)
    network = make_network("resnet18", weights="random")
    backbone = Backbone(Architecture(**description.backbone), network)
    inside = {f"backbone.{name}": value for name, value in backbone.network.state_dict().items()}
    save_file(load_file(copied / "model.safetensors") | inside, copied / "model.safetensors")
    path = copied / "model.json"
    text = json.loads(path.read_text())
    text["backbone_weights"]["source"] = "/nowhere/weights.pth"
    path.write_text(json.dumps(text))
    found = load(copied).predict([tiny_root / path for path in run_scores])
    assert [str(score) for score in found.scores] == list(run_scores.values())

    del inside[next(iter(inside))]
    tensors = load_file(copied / "model.safetensors")
    own = {k: v for k, v in tensors.items() if not k.startswith("backbone.")}
    save_file(own | inside, copied / "model.safetensors")
    with pytest.raises(UserError, match="backbone that does not fit"):
        load(copied)


def test_other_backbone_weights_than_the_runs_are_refused(copied, tmp_path):
    network = make_network("resnet18", weights="random")
    state = network.state_dict()
    state["conv1.weight"] = state["conv1.weight"] + 1
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"was trained on weights .* --backbone-weights"):
        load(copied, backbone_weights=str(tmp_path / "other.pth"))


def test_what_is_no_model_is_named(tmp_path, tiny_run):
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "none")
    with pytest.raises(UserError, match="holds no trained model"):
        load(tmp_path)
    with pytest.raises(UserError, match="runs below it"):
        load(tiny_run.parent)
    (tmp_path / "state.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="resume="):
        load(tmp_path)
    with pytest.raises(UserError, match="is no model"):
        load(tiny_run / "metrics.json")
    with pytest.raises(UserError, match="batch_size is 0"):
        load(tiny_run, batch_size=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": {"resize": "squash", "height": 4, "width": 4}}, "image.resize"),
        ({"scoring": {"num_neighbours": 0}}, "scoring.num_neighbours"),
        ({"scoring": {"num_neighbours": 1, "more": 2}}, "more"),
        ({"thresholds": {"image": 1}}, "pixel"),
        ({"colour_range": [1]}, "unpack"),
        ({"channels": [1, 2]}, "columns"),
        ({"backbone": {"model": "no_such_net", "layers": ["a"]}}, "no_such_net"),
    ],
)
def test_a_description_that_cannot_be_used_is_named(copied, change, said):
    path = copied / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=said):
        load(copied)


def test_files_with_code_inside_are_not_run(copied):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code from a file was run",))

    torch.save(Trap(), copied / "model.safetensors")
    with pytest.raises(UserError, match="cannot be read"):
        load(copied)


def test_a_description_is_replaced_whole(copied):
    description = load_description(copied)
    write_description(copied, description)
    assert load_description(copied) == description
