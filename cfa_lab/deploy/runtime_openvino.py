"""An exported OpenVINO model on the CPU, asked for float32; imports no torch."""

from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from cfa_lab.deploy.exported import (
    DESCRIPTION,
    EXPORT,
    MAPS,
    SCORES,
    ExportedRuntime,
    missing,
    read_texts,
    refuse_unreadable,
)

AT_ONCE = 8
"""Images taken at once. They go through one by one, so that memory holds one image's products."""


def open_file(
    path: Path, *, num_threads: int | None = None, precision: str | None = None
) -> ExportedRuntime:
    """Read an OpenVINO model that `export` wrote.

    `precision` is OpenVINO's word (f32, bf16) for what to compute in; None asks for what the model
    itself asks for. OpenVINO's own choice would be bf16 wherever the CPU has it.
    """
    try:
        import openvino
    except ImportError as error:
        raise missing("openvino", "openvino") from error
    core = openvino.Core()
    try:
        model = core.read_model(path)
        texts = {
            name: model.get_rt_info(name).astype(str)
            for name in (DESCRIPTION, EXPORT)
            if model.has_rt_info(name)
        }
    except RuntimeError as error:
        raise refuse_unreadable(path, error) from error
    description, export = read_texts(texts, path)
    height, width = description.image.input_size
    model.reshape([1, height, width, 3])  # a fixed shape runs faster and plans its memory
    wanted = precision or export["inference_precision"]
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": wanted, "PERFORMANCE_HINT": "LATENCY"}
    if num_threads:
        settings["INFERENCE_NUM_THREADS"] = num_threads
    compiled = core.compile_model(model, "CPU", settings)
    del model
    ran: Any = compiled.get_property("INFERENCE_PRECISION_HINT")
    requests: SimpleQueue[Any] = SimpleQueue()

    def infer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        try:
            request = requests.get_nowait()
        except Empty:  # as many as there are threads that score
            request = compiled.create_infer_request()
        scores, maps = [], []
        for image in images:
            found = request.infer([image[None]], share_inputs=True)
            scores.append(found[SCORES].copy())
            maps.append(found[MAPS].copy())
        requests.put(request)
        return np.concatenate(scores), np.concatenate(maps)

    return ExportedRuntime(
        description=description,
        arithmetic=f"openvino {openvino.__version__.split('-')[0]} on cpu, {ran.to_string()}",
        batch_size=AT_ONCE,
        infer=infer,
        export=export,
    )
