"""Convolutions in 8-bit integers, their ranges taken from training images (onnxruntime's tools)."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cfa_lab.deploy.exported import IMAGES
from cfa_lab.errors import UserError

LEFT = 2
"""The first convolutions stay in float32: they cost little, and their rounding reaches all levels.
On EfficientNet-Lite0 that leaves less than half of the difference in the maps."""


def quantised(model: Any, images: Sequence[np.ndarray]) -> Any:
    """An ONNX model whose convolutions take and weigh 8-bit integers; all else stays float32.

    `images` (h, w, 3) uint8 of the network's input size say what its activations are like. Weights
    have a scale for each output channel. Raises UserError where nothing can be quantised.
    """
    from onnx import load
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
    from onnxruntime.quantization import quantize_static as quantize

    chosen = [node.name for node in model.graph.node if node.op_type == "Conv"][LEFT:]
    if not chosen:
        raise UserError(
            "--precision int8 is for convolutions, and this network has too few; leave it out"
        )

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[np.ndarray] = iter(images)

        def get_next(self) -> Any:  # None ends it, which the base class does not declare
            image = next(self.left, None)
            return None if image is None else {IMAGES: image[None]}

    with tempfile.TemporaryDirectory() as temporary:
        given, path = Path(temporary) / "given.onnx", Path(temporary) / "model.onnx"
        given.write_bytes(model.SerializeToString())  # a model in memory would lose its weights
        quantize(
            given,
            path,
            Images(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=chosen,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        return _only_for_convolutions(load(path))


def _only_for_convolutions(model: Any) -> Any:
    """Let everything but convolutions take maps as they were before they were quantised.

    onnxruntime's tools hand the quantised map to all that take it: sums of residual blocks, and the
    averages that become features, would be rounded twice.
    """
    nodes = model.graph.node
    quantised_from = {n.output[0]: n.input[0] for n in nodes if n.op_type == "QuantizeLinear"}
    whole = {
        node.output[0]: quantised_from[node.input[0]]
        for node in nodes
        if node.op_type == "DequantizeLinear" and node.input[0] in quantised_from
    }
    for node in nodes:
        if node.op_type not in ("Conv", "DequantizeLinear"):
            for place, name in enumerate(node.input):
                node.input[place] = whole.get(name, name)
    return model
