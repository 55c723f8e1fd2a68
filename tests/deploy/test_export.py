"""Exports of models of every kind pass the gate, deliberately wrong ones do not."""

import json
import shutil
import sys
from importlib.metadata import version
from itertools import product

import numpy as np
import pytest
from helpers.exports import RESNET, SUFFIXES, make_runtime, photographs

from cfa_lab.cli import main
from cfa_lab.data.geometry import Geometry
from cfa_lab.data.images import load_image
from cfa_lab.deploy.exported import DESCRIPTION, EXPORT, ExportedRuntime
from cfa_lab.deploy.exporting import exact, export
from cfa_lab.deploy.gate import BOUND, compare
from cfa_lab.deploy.load import open_runtime
from cfa_lab.deploy.run_data import load_some, measure, table_of_run
from cfa_lab.deploy.runtime_torch import load_run
from cfa_lab.errors import UserError
from cfa_lab.training.description import parse_description

each_format = pytest.mark.parametrize("kind", SUFFIXES)

BACKBONES = {
    "resnet18": RESNET,
    "wide_resnet50": RESNET | {"model": "wide_resnet50_2"},
    "vgg19_bn": {"model": "vgg19_bn", "layers": ["features.25", "features.38", "features.51"]},
    "efficientnet_b5": {
        "model": "efficientnet_b5",
        "layers": ["blocks.1", "blocks.2", "blocks.4"],
        "divide_by_channels": True,
    },
    "efficientnet_lite0": {
        "model": "tf_efficientnet_lite0",
        "layers": ["blocks.1", "blocks.2", "blocks.4"],
    },
    "efficientnet_lite2": {
        "model": "tf_efficientnet_lite2",
        "layers": ["blocks.1", "blocks.2", "blocks.4"],
    },
    "convnext": {"model": "convnext_atto", "layers": ["stages.0", "stages.1", "stages.2"]},
    "mobilenet": {"model": "mobilenetv3_small_050", "layers": ["blocks.0", "blocks.1", "blocks.3"]},
}
"""As conf/backbone has them, and two of timm's own."""


def models():
    """Each backbone in both presets and each format."""
    for case in product(BACKBONES, ("official", "lab"), SUFFIXES):
        marks = () if case == ("resnet18", "lab", "onnx") else pytest.mark.slow
        yield pytest.param(*case, id="-".join(case), marks=marks)


@pytest.mark.parametrize(("name", "preset", "kind"), list(models()))
def test_exports_pass_the_gate(tmp_path, name, preset, kind):
    geometry = Geometry(resize="letterbox", height=64, width=96)
    scoring = {"weighting": "nearest", "num_neighbours": 1} if preset == "lab" else {}
    runtime = make_runtime(BACKBONES[name], geometry=geometry, preset=preset, scoring=scoring)
    out = tmp_path / f"model{SUFFIXES[kind]}"
    exported = export(runtime, tmp_path, out, kind=kind)
    assert exported.export["bound"] == BOUND
    images = photographs(geometry, [(100, 80), (64, 96), (50, 200)])
    parity = compare(runtime, exported, images)  # letterboxed, which the gate's own are not
    assert max(parity.scores, parity.maps) < BOUND
    assert {file.name for file in tmp_path.iterdir()} == {
        out.name,
        *(["model.bin"] if kind == "openvino" else []),
    }


@pytest.fixture(scope="session")
def exported_run(tmp_path_factory, tiny_run):
    """A run's folder with all three exports in it, made by the command."""
    folder = tmp_path_factory.mktemp("exported") / "run"
    shutil.copytree(tiny_run, folder)
    for kind in SUFFIXES:
        command("export", folder, "--format", kind)
    return folder


def command(*arguments):
    """Run the command line as a user does."""
    before = sys.argv
    sys.argv = ["cfa_lab", *map(str, arguments)]
    try:
        main()
    finally:
        sys.argv = before


@each_format
def test_an_exported_file_says_what_it_is(exported_run, kind):
    runtime = open_runtime(exported_run / f"model{SUFFIXES[kind]}", num_threads=1)
    original = load_run(exported_run)
    assert isinstance(runtime, ExportedRuntime)
    assert runtime.description == original.description
    assert runtime.description.thresholds is not None
    assert runtime.description.run_key == original.description.run_key
    assert runtime.export["format"] == kind and runtime.export["real_images"]
    assert runtime.export["parity"]["num_images"] == 12
    assert runtime.export["versions"]["torch"] == version("torch")
    assert "f32" in runtime.arithmetic or "float32" in runtime.arithmetic


@each_format
def test_exports_score_the_runs_images_as_the_run_did(exported_run, run_scores, kind):
    table = table_of_run(exported_run)
    assert table is not None
    runtime = open_runtime(exported_run / f"model{SUFFIXES[kind]}", num_threads=1)
    images = [[load_image(table.absolute(path), runtime.description.image)] for path in run_scores]
    found = [scored.score for scored in runtime.score(images)]
    np.testing.assert_allclose(found, [float(score) for score in run_scores.values()], rtol=BOUND)
    assert measure(runtime, table) == pytest.approx(
        measure(load_run(exported_run), table), abs=1e-4
    )


def test_metadata_can_be_read_with_no_code_of_ours(exported_run):
    import onnx
    import openvino

    texts = {p.key: p.value for p in onnx.load(exported_run / "model.onnx").metadata_props}
    model = openvino.Core().read_model(exported_run / "model.xml")
    for text in (texts[DESCRIPTION], model.get_rt_info(DESCRIPTION).astype(str)):
        assert parse_description(text, where="file").category == "square"
    assert json.loads(texts[EXPORT])["precision"] == "float32"
    hint = model.get_rt_info(["runtime_options", "INFERENCE_PRECISION_HINT"]).astype(str)
    assert hint == "f32"
    assert str(model.input("images").get_partial_shape()) == "[?,64,64,3]"


def test_weights_that_nothing_is_taken_from_are_left_out(exported_run):
    whole = sum(v.nbytes for v in load_run(exported_run).extractor.backbone.state_dict().values())
    for suffix in SUFFIXES.values():
        files = exported_run.glob(f"model{suffix if suffix != '.xml' else '.bin'}")
        assert sum(file.stat().st_size for file in files) < 0.5 * whole


@each_format
@pytest.mark.parametrize("damage", ["empty", "cut", "foreign"])
def test_a_damaged_file_is_one_clear_line(exported_run, tmp_path, kind, damage):
    for file in exported_run.glob("model.*"):
        shutil.copy(file, tmp_path)
    path = tmp_path / f"model{SUFFIXES[kind]}"
    content = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "cut": content[: len(content) // 2], "foreign": b"x" * 99}[damage]
    )
    with pytest.raises(UserError, match=r"model\S* cannot be read"):
        open_runtime(path)


def test_a_model_of_others_is_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [value],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=opsets), tmp_path / "other.onnx")
    with pytest.raises(UserError, match="not written by cfa_lab export"):
        open_runtime(tmp_path / "other.onnx")


# The command


@pytest.mark.slow
def test_the_command_says_what_the_gate_saw(exported_run, tmp_path, capsys):
    out = tmp_path / "deep" / "mine.onnx"
    command("export", exported_run, "--format", "onnx", "--out", out)
    told = capsys.readouterr().out
    assert str(out) in told and "over 12 images" in told and "allowed 1e-04" in told
    assert out.is_file()


def test_a_run_whose_images_are_gone_is_compared_on_random_ones(tiny_run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    record = json.loads((folder / "metrics.json").read_text())
    record["config"]["dataset"]["root"] = str(tmp_path / "gone")
    (folder / "metrics.json").write_text(json.dumps(record))
    command("export", folder, "--format", "torch")
    assert "random images only" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--format", "onnx", "--out", "x.xml"], r"ends in \.onnx"),
        (["--format", "torch", "--precision", "bf16"], "allowed for torch: float32"),
        (["--format", "torch", "--include-backbone"], "goes with --format model"),
        (["--format", "model", "--precision", "bf16"], "leave out --precision"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(tiny_run, tmp_path, capsys, arguments, told):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    with pytest.raises(SystemExit):
        command("export", folder, *arguments)
    assert __import__("re").search(told, capsys.readouterr().err)


def test_a_model_takes_its_backbone_along(exported_run, tmp_path, monkeypatch):
    for name, options in (("with", ["--include-backbone"]), ("without", [])):
        command("export", exported_run, "--format", "model", "--out", tmp_path / name, *options)
    table = table_of_run(exported_run)
    assert table is not None
    images = load_some(table, table.test, load_run(exported_run).description.image, 3)
    judge = load_run(exported_run).score(images)
    for name in ("with", "without"):
        found = load_run(tmp_path / name).score(images)
        assert [one.score for one in found] == [one.score for one in judge]
    description = json.loads((tmp_path / "with" / "model.json").read_text())
    description["backbone_weights"] = {"source": "/nowhere/weights.pth", "tag": None}
    for name in ("with", "without"):
        (tmp_path / name / "model.json").write_text(json.dumps(description))
    load_run(tmp_path / "with")
    with pytest.raises(UserError):
        load_run(tmp_path / "without")


def test_a_reduced_precision_says_what_it_costs_on_the_test_set(exported_run, tmp_path, capsys):
    out = tmp_path / "small.xml"
    options = ["--format", "openvino", "--precision", "float16"]
    command("export", exported_run, *options, "--out", out)
    told = capsys.readouterr().out
    runtime = open_runtime(out)
    assert isinstance(runtime, ExportedRuntime)
    metrics = runtime.export["metrics"]
    assert metrics["original"].keys() == {"image_auroc", "pixel_auroc", "pixel_ap"}
    assert metrics["exported"] == pytest.approx(metrics["original"], abs=0.05)
    assert all(f"test/{name}: {value:.6f}" in told for name, value in metrics["original"].items())
    assert "bound" not in runtime.export and runtime.export["parity"]["maps"] > BOUND
    half, whole = (
        folder.stat().st_size for folder in (out.with_suffix(".bin"), exported_run / "model.bin")
    )
    assert half < 0.6 * whole


def test_a_reduced_precision_without_a_test_set_is_refused(tmp_path):
    with pytest.raises(UserError, match="judged by the run's test set"):
        export(make_runtime(), tmp_path, tmp_path / "m.xml", kind="openvino", precision="float16")
    assert not list(tmp_path.iterdir())


def test_features_of_bf16_products_are_compared_as_float32(tiny_run):
    runtime = load_run(tiny_run)
    assert exact(runtime).extractor.precision == "exact"
