"""What runtimes do that exports have to reckon with.

A fact that stops being true fails here: then what was built for it can go.
"""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
from helpers.exports import make_runtime
from onnx import TensorProto, helper
from PIL import Image

from cfa_lab.deploy.exporting import export, graph_of
from cfa_lab.deploy.formats import make_onnx, quietly
from cfa_lab.deploy.graph.patches import lowest
from cfa_lab.deploy.graph.whole import all_below, rounded_to_half

AMX = torch.cpu._is_amx_tile_supported()


def model_of(nodes, initializers=(), inputs=1):
    """A small ONNX model of float tensors x0, x1 ... -> y."""
    values = [
        helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, None) for i in range(inputs)
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", values, [output], list(initializers))
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def model_of_module(module, example):
    """The same of a module of torch."""
    with quietly():
        program = torch.onnx.export(
            module, (example,), dynamo=True, input_names=["x0"], output_names=["y"]
        )
    assert program is not None
    return program.model_proto.SerializeToString()


def by_onnxruntime(model, *values) -> Any:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {f"x{i}": value for i, value in enumerate(values)})[0]


def by_openvino(model, *values, settings=None) -> Any:
    core = openvino.Core()
    read = core.read_model(model)
    read.reshape({f"x{i}": list(value.shape) for i, value in enumerate(values)})
    compiled = core.compile_model(read, "CPU", settings or {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(list(values))[0]


@pytest.mark.slow
@pytest.mark.skipif(not AMX, reason="OpenVINO takes bf16 by itself with AMX only")
def test_openvino_computes_in_bf16_unless_it_is_asked_for_float32(tmp_path):
    with quietly():
        model = openvino.Core().read_model(make_onnx(graph_of(make_runtime())).SerializeToString())
    chosen = openvino.Core().compile_model(model, "CPU")
    assert chosen.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.bf16
    exported = export(make_runtime(), tmp_path, tmp_path / "model.xml", kind="openvino")
    assert exported.arithmetic.endswith("f32")
    written = openvino.Core().read_model(tmp_path / "model.xml")
    hint = ["runtime_options", "INFERENCE_PRECISION_HINT"]
    assert written.get_rt_info(hint).astype(str) == "f32"
    # this version does not follow what the model asks for: whoever compiles it has to ask, too
    as_written = openvino.Core().compile_model(written, "CPU")
    assert as_written.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.bf16


@pytest.mark.skipif(not AMX, reason="OpenVINO takes bf16 by itself with AMX only")
def test_an_offset_ruins_expanded_distances_in_bf16_and_centred_ones_little():
    rng = np.random.default_rng(0)
    bank = rng.normal(size=(512, 64)).astype(np.float32)
    queries = bank[rng.integers(0, 512, 256)] + 0.5 * rng.normal(size=(256, 64)).astype(np.float32)
    judge = ((queries[:, None] - bank).astype(np.float64) ** 2).sum(-1).min(1)
    errors = []
    for offset in (16 * 4.0 / np.sqrt(64), 0.0):  # 16 times the distances, and centred
        shifted = (bank + offset).astype(np.float32)
        nodes = [
            helper.make_node("MatMul", ["x0", "c"], ["p"]),
            helper.make_node("Add", ["p", "b"], ["q"]),
            helper.make_node("ReduceSumSquare", ["x0", "axis"], ["s"]),
            helper.make_node("Add", ["q", "s"], ["d"]),
            helper.make_node("ReduceMin", ["d", "axis"], ["y"]),
        ]
        constants = {"c": -2 * shifted.T, "b": (shifted**2).sum(1), "axis": np.array([1])}
        tensors = [onnx.numpy_helper.from_array(v, name) for name, v in constants.items()]
        settings = {"INFERENCE_PRECISION_HINT": "bf16"}
        model = model_of(nodes, tensors)
        found = by_openvino(model, (queries + offset).astype(np.float32), settings=settings)
        errors.append(np.median(np.abs(found[:, 0] - judge) / judge))
    assert errors[0] > 0.05 and errors[1] < 0.01


def test_openvino_makes_numbers_of_nan_and_a_comparison_does_not():
    values = np.array([[np.nan, 1.0, 2.0, 3.0]] * 4, dtype=np.float32)
    relu = by_openvino(model_of([helper.make_node("Relu", ["x0"], ["y"])]), values)
    assert (relu[:, 0] == 0).all()
    axis = onnx.numpy_helper.from_array(np.array([1]), "axis")
    maximum = model_of([helper.make_node("ReduceMax", ["x0", "axis"], ["y"])], [axis])
    assert np.isfinite(by_openvino(maximum, values)).all()


def test_onnxruntime_drops_nan_from_a_maximum_by_its_place():
    axis = onnx.numpy_helper.from_array(np.array([1]), "axis")
    maximum = model_of([helper.make_node("ReduceMax", ["x0", "axis"], ["y"])], [axis])
    values = np.where(np.eye(40, dtype=bool), np.nan, 1.0).astype(np.float32)  # one in each row
    found = [bool(np.isnan(by_onnxruntime(maximum, row[None])).all()) for row in values]
    assert not all(found)


class Guard(torch.nn.Module):
    def forward(self, values):
        return all_below(values, 100.0)


@pytest.mark.parametrize("run", [by_onnxruntime, by_openvino])
def test_the_guard_sees_one_nan_anywhere_in_every_runtime(run):
    model = model_of_module(Guard(), torch.zeros(41, 40))
    for broken in (np.nan, np.inf, -np.inf, 100.0, -1e30):
        values = np.ones((41, 40), dtype=np.float32)
        values[np.arange(40), np.arange(40)] = broken
        np.testing.assert_array_equal(run(model, values), [0.0] * 40 + [1.0])


def test_openvino_ignores_antialiasing_and_onnxruntime_needs_to_exclude_the_outside():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 60), dtype=np.uint8)
    judge = np.asarray(Image.fromarray(image).resize((20, 20), Image.Resampling.BILINEAR))
    sizes = onnx.numpy_helper.from_array(np.array([1, 1, 20, 20]), "sizes")
    differences = {}
    for outside in (0, 1):
        node = helper.make_node(
            "Resize",
            ["x0", "", "", "sizes"],
            ["y"],
            mode="linear",
            antialias=1,
            exclude_outside=outside,
            coordinate_transformation_mode="half_pixel",
        )
        model = model_of([node], [sizes])
        values = image.astype(np.float32)[None, None]
        for name, run in (("onnxruntime", by_onnxruntime), ("openvino", by_openvino)):
            found = run(model, values)[0, 0]
            differences[name, outside] = np.abs(found - judge).max()
    assert differences["onnxruntime", 1] < 1.01
    assert differences["openvino", 1] > 20


class Lowest(torch.nn.Module):
    def forward(self, values):
        return values.gather(2, lowest(values, 5))


@pytest.mark.parametrize("run", [by_onnxruntime, by_openvino])
def test_sorting_may_name_any_of_equal_values_and_finds_as_low_ones(run):
    values = torch.randint(0, 4, (1, 50, 320), generator=torch.Generator().manual_seed(0)).float()
    found = run(model_of_module(Lowest(), values), values.numpy())
    np.testing.assert_array_equal(np.sort(found), values.sort().values[..., :5].numpy())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_scores_do_not_depend_on_which_of_equally_distant_entries_is_named(tmp_path, kind):
    """Every entry stands in the bank four times; the gate compares with exact distances."""
    runtime = make_runtime(num_entries=64, scoring={"num_neighbours": 6})
    runtime.detector.bank = runtime.detector.bank.repeat(4, 1)
    suffix = ".onnx" if kind == "onnx" else ".xml"
    exported = export(runtime, tmp_path, tmp_path / f"model{suffix}", kind=kind)
    assert exported.export["parity"]["maps"] < 1e-5


def test_openvino_leaves_out_a_conversion_to_half_and_back():
    nodes = [
        helper.make_node("Cast", ["x0"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["h"], ["y"], to=TensorProto.FLOAT),
    ]
    values = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    np.testing.assert_array_equal(by_openvino(model_of(nodes), values), values)


class Rounded(torch.nn.Module):
    def forward(self, values):
        return rounded_to_half(values)


@pytest.mark.parametrize("run", [by_onnxruntime, by_openvino])
def test_the_graph_rounds_to_half_in_every_runtime(run):
    values = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    found = run(model_of_module(Rounded(), torch.from_numpy(values)), values)
    judge = values.astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(found, judge, rtol=0, atol=3e-8)
