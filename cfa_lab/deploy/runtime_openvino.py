"""An exported OpenVINO model on the CPU, asked for float32; imports no torch."""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
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
from cfa_lab.records.environment import count_cores

AT_ONCE = 8
"""Images taken at once."""
HINT = "INFERENCE_PRECISION_HINT"


def open_file(path: Path, *, num_threads: int | None = None) -> ExportedRuntime:
    """Read an OpenVINO model that `export` wrote.

    It computes in the precision that the file asks for; OpenVINO's own choice would be bf16
    wherever the CPU has it.
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
    settings: dict[str, Any] = {HINT: export["inference_precision"]}
    if num_threads:
        settings["INFERENCE_NUM_THREADS"] = num_threads

    @cache
    def requests(streams: int) -> "_Requests":
        """One image with all threads, or several side by side; made when first asked for."""
        return _Requests(core.compile_model(model, "CPU", settings | {"NUM_STREAMS": streams}))

    streams = min(AT_ONCE, num_threads or count_cores())

    def infer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        side_by_side = min(len(images), streams)
        with requests(streams if side_by_side > 1 else 1).take(side_by_side) as taken:
            found = _run(taken, images)
        scores, maps = zip(*found, strict=True)
        return np.concatenate(scores), np.concatenate(maps)

    ran = requests(1).compiled.get_property(HINT).to_string()
    if export["precision"] == "int8":
        ran = f"int8 and {ran}"
    return ExportedRuntime(
        description=description,
        arithmetic=f"openvino {openvino.__version__.split('-')[0]} on cpu, {ran}",
        batch_size=AT_ONCE,
        infer=infer,
        export=export,
    )


class _Requests:
    """A compiled model and its requests, each at work for one thread that scores at a time."""

    def __init__(self, compiled: Any):
        self.compiled = compiled
        self._idle: SimpleQueue[Any] = SimpleQueue()

    @contextmanager
    def take(self, count: int) -> Generator[list[Any]]:
        taken = [self._one() for _ in range(count)]
        yield taken
        for request in taken:
            self._idle.put(request)

    def _one(self) -> Any:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self.compiled.create_infer_request()


def _run(requests: list[Any], images: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scores and maps of images in order, as many at work as there are requests."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for i in range(len(images) + len(requests)):
        request = requests[i % len(requests)]
        if i >= len(requests) and i - len(requests) < len(images):
            request.wait()
            results = request.results
            found.append((results[SCORES].copy(), results[MAPS].copy()))
        if i < len(images):
            request.start_async([images[i : i + 1]], share_inputs=True)
    return found
