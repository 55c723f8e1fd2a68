"""Exported files: a graph written down for a runtime, and the texts that say what it is."""

import logging
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cfa_lab.deploy.exported import IMAGES, MAPS, SCORES, missing
from cfa_lab.deploy.graph import ScoringGraph
from cfa_lab.deploy.int8 import quantised

OPENVINO_HINTS = {"float32": "f32", "float16": "f32", "bf16": "bf16", "int8": "f32"}
"""Precision of an export -> what OpenVINO computes in but for 8-bit convolutions; float16 is that
of the weights kept."""
OPENVINO_PRECISIONS = tuple(OPENVINO_HINTS)
MOST_AT_ONCE = 1024
"""The largest batch that a graph is promised to take."""


@dataclass(frozen=True)
class Format:
    """How a graph becomes a file: `build` makes what `save` writes, with its texts, to a path."""

    suffix: str
    build: Callable[[ScoringGraph, str, Sequence[np.ndarray]], Any]
    """Of a graph, a precision, and images (h, w, 3) that int8 takes its ranges from."""
    save: Callable[[Any, Path, Mapping[str, str]], None]
    precisions: tuple[str, ...]


def _build_program(
    graph: ScoringGraph, precision: str, images: Sequence[np.ndarray]
) -> torch.export.ExportedProgram:
    return trace(graph)


def _save_program(
    program: torch.export.ExportedProgram, path: Path, texts: Mapping[str, str]
) -> None:
    """A `torch.export` archive, the texts among its extra files."""
    torch.export.save(program, path, extra_files=dict(texts))


def _build_onnx(graph: ScoringGraph, precision: str, images: Sequence[np.ndarray]) -> Any:
    model = make_onnx(graph)
    return quantised(model, images) if precision == "int8" else model


def _save_onnx(model: Any, path: Path, texts: Mapping[str, str]) -> None:
    """One ONNX file, the texts in `metadata_props`."""
    del model.metadata_props[:]
    for name, text in texts.items():
        model.metadata_props.add(key=name, value=text)
    path.write_bytes(model.SerializeToString())


def _build_openvino(graph: ScoringGraph, precision: str, images: Sequence[np.ndarray]) -> Any:
    try:
        import openvino
    except ImportError as error:
        raise missing("openvino", "openvino") from error
    model = _build_onnx(graph, precision, images)
    return openvino.Core().read_model(model.SerializeToString()), precision


def _save_openvino(built: Any, path: Path, texts: Mapping[str, str]) -> None:
    """Two files: the graph in `path`, its weights beside it (.bin).

    The model's runtime information says in which precision to compute: left to itself OpenVINO
    takes bf16 wherever the CPU has it.
    """
    import openvino

    model, precision = built
    for name, text in texts.items():
        model.set_rt_info(text, name)
    model.set_rt_info(OPENVINO_HINTS[precision], ["runtime_options", "INFERENCE_PRECISION_HINT"])
    openvino.save_model(model, path, compress_to_fp16=precision == "float16")


def trace(graph: ScoringGraph) -> torch.export.ExportedProgram:
    """A graph as a program of torch's operators, for 1 to `MOST_AT_ONCE` images.

    Without the layers that nothing is taken from, which a first tracing finds.
    """
    images = torch.zeros(2, *graph.input_size, 3, dtype=graph.dtype)
    module = _trace(graph, images).module()
    module.graph.eliminate_dead_code()
    used = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    for name in [*dict(module.named_parameters()), *dict(module.named_buffers())]:
        if name not in used:
            owner, _, attribute = name.rpartition(".")
            delattr(module.get_submodule(owner), attribute)
    return _trace(module, images)


def _trace(module: nn.Module, images: Tensor) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1, max=MOST_AT_ONCE)
    shapes = {IMAGES: {0: batch}}
    with (
        torch.no_grad()
    ):  # or the backbone's own would become an operator, which torch 2.9 cannot save
        return torch.export.export(module, (images,), dynamic_shapes=shapes, strict=False)


def make_onnx(graph: ScoringGraph) -> Any:
    """A graph as an ONNX model in memory."""
    if find_spec("onnxscript") is None:
        raise missing("onnxscript", "onnx")
    program = torch.onnx.export(
        trace(graph),
        (),
        dynamo=True,
        verbose=False,
        input_names=[IMAGES],
        output_names=[SCORES, MAPS],
    )
    assert program is not None  # there is one wherever the model is not written to a file at once
    return program.model_proto


@contextmanager
def quietly() -> Generator[None]:
    """Exporters tell of their own inner workings: nothing that a user could act on."""
    names = (None, "torch.onnx", "onnxscript", "onnx_ir")  # onnxruntime's tools use the root
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


FORMATS = {
    "onnx": Format(".onnx", _build_onnx, _save_onnx, ("float32", "int8")),
    "openvino": Format(
        ".xml", _build_openvino, _save_openvino, ("float32", "float16", "bf16", "int8")
    ),
    "torch": Format(".pt2", _build_program, _save_program, ("float32",)),
}
