#!/usr/bin/env bash
# OpenVINO leaves out a conversion to half precision and back; onnxruntime carries it out.
#
# Seen with openvino 2026.4.1 and onnxruntime 1.32.0 (onnx 1.23.0), CPU, float32 asked for: an ONNX graph of two Cast
# nodes, float32 -> float16 -> float32, gives its input unchanged in OpenVINO. So a network whose training rounded
# features to half, and whose export does the same by Cast, sees other features after the export, by up to 5e-4 of each.
#
# What we do about it: the exported graph rounds by float32 arithmetic (cfa_lab/deploy/graph/whole.py, rounded_to_half), which
# no runtime simplifies. tests/deploy/test_runtime_facts.py holds both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper

nodes = [
    helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
    helper.make_node("Cast", ["half"], ["y"], to=TensorProto.FLOAT),
]
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1000]) for name in ("x", "y")]
graph = helper.make_graph(nodes, "rounding", ends[:1], ends[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
onnx.checker.check_model(model)
model = model.SerializeToString()

values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
rounded = values.astype(np.float16).astype(np.float32)
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
by_onnxruntime = session.run(None, {"x": values})[0]
core = openvino.Core()
compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
by_openvino = compiled([values])[0]
relative = np.abs(by_openvino - rounded) / np.abs(rounded)
print("onnxruntime rounds:", np.array_equal(by_onnxruntime, rounded))
print("openvino gives its input back:", np.array_equal(by_openvino, values))
print(f"so it differs from the rounded values by up to {relative.max():.1e} of each")
assert np.array_equal(by_onnxruntime, rounded), "onnxruntime no longer rounds"
assert np.array_equal(by_openvino, values), "openvino rounds now"
PY
# Output:
#   onnxruntime rounds: True
#   openvino gives its input back: True
#   so it differs from the rounded values by up to 4.8e-04 of each
