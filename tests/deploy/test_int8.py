"""8-bit convolutions: what is quantised, that both runtimes agree, and what the test set allows."""

import sys
from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from helpers.exports import make_runtime, photographs

from cfa_lab.cli import main
from cfa_lab.deploy.exporting import export, graph_of
from cfa_lab.deploy.formats import make_onnx, quietly
from cfa_lab.deploy.gate import refuse_loss
from cfa_lab.deploy.int8 import LEFT, quantised
from cfa_lab.deploy.runtime import Runtime
from cfa_lab.errors import UserError


@pytest.fixture(scope="module")
def models():
    """A model of noise in float32 and with 8-bit convolutions, as ONNX."""
    runtime = make_runtime()
    images = [one.pixels for (one,) in photographs(runtime.description.image, [(64, 64)] * 4)]
    with quietly():
        model = make_onnx(graph_of(runtime))
        return model, quantised(model, images)


def test_only_convolutions_take_quantised_maps_and_the_first_stay(models):
    model, changed = models
    made_by = {name: node for node in changed.graph.node for name in node.output}
    taken = []
    for node in changed.graph.node:
        sources = {made_by[name].op_type for name in node.input if name in made_by}
        if "DequantizeLinear" in sources:
            taken.append(node.op_type)
    assert set(taken) == {"Conv"}
    convolutions = sum(node.op_type == "Conv" for node in model.graph.node)
    assert len(taken) == convolutions - LEFT
    onnx.checker.check_model(changed, full_check=True)
    assert len(model.graph.initializer[0].raw_data) > 0  # what was given is as it was


def test_a_network_without_convolutions_is_refused(models):
    model = onnx.ModelProto()
    model.CopyFrom(models[0])
    for node in model.graph.node:
        if node.op_type == "Conv":
            node.op_type = "NoConv"
    with pytest.raises(UserError, match="int8 is for convolutions"):
        quantised(model, [])


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory) -> Mapping[str, Runtime]:
    """A run's int8 exports; whatever the test set loses is allowed here."""
    from cfa_lab.deploy.runtime_torch import load_run

    folder, runtime = tmp_path_factory.mktemp("int8"), load_run(tiny_run)
    return {"torch": runtime} | {
        kind: export(
            load_run(tiny_run), tiny_run, folder / name, kind=kind, precision="int8", most_lost=1.0
        )
        for kind, name in (("onnx", "m.onnx"), ("openvino", "m.xml"))
    }


@pytest.mark.slow
def test_both_runtimes_score_alike_and_near_to_the_model(exported):
    """Unlike what they give where averages take quantised maps (findings/)."""
    images = photographs(exported["torch"].description.image, [(64, 64), (40, 48), (64, 80)])
    maps = {
        name: np.stack([one.window_map.copy() for one in runtime.score(images[:1])])
        for name, runtime in exported.items()
    }
    size = np.abs(maps["torch"]).max()
    assert np.abs(maps["onnx"] - maps["openvino"]).max() < 0.02 * size
    assert 0 < np.abs(maps["onnx"] - maps["torch"]).max() < 0.2 * size
    assert "int8" in exported["onnx"].arithmetic and "int8" in exported["openvino"].arithmetic


@pytest.mark.slow
def test_the_command_says_what_was_lost_and_what_may_be(tiny_run, tmp_path, capsys, monkeypatch):
    out = tmp_path / "model.onnx"
    options = ["--format", "onnx", "--precision", "int8", "--out", str(out), "--most-lost", "1"]
    monkeypatch.setattr(sys, "argv", ["cfa_lab", "export", str(tiny_run), *options])
    main()
    told = capsys.readouterr().out
    assert "onnx, int8" in told and "test/pixel_ap: " in told and "(may lose 1)" in told
    assert out.exists()


@pytest.mark.parametrize(("now", "refused"), [(0.95, False), (0.94, True), (None, False)])
def test_no_metric_may_lose_more_than_allowed(now, refused):
    before = {"image_auroc": 0.9, "pixel_ap": 0.96, "pixel_auroc": None}
    after = {"image_auroc": 0.99, "pixel_ap": now, "pixel_auroc": None}
    if not refused:
        refuse_loss(before, after, 0.0101)
        return
    with pytest.raises(UserError, match=r"loses 0\.0200 of test/pixel_ap, 0\.9600 before; allowed"):
        refuse_loss(before, after, 0.0101)


@pytest.mark.slow
def test_a_precision_that_loses_too_much_leaves_nothing(tiny_run, tmp_path):
    from cfa_lab.deploy.runtime_torch import load_run

    with pytest.raises(UserError, match="--most-lost"):
        export(
            load_run(tiny_run),
            tiny_run,
            tmp_path / "m.onnx",
            kind="onnx",
            precision="int8",
            most_lost=-1.0,  # no export gains that much
        )
    assert list(tmp_path.iterdir()) == []
