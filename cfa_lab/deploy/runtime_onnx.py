"""An exported ONNX file by onnxruntime on the CPU; imports no torch."""

from pathlib import Path

import numpy as np

from cfa_lab.deploy.exported import (
    IMAGES,
    MAPS,
    SCORES,
    ExportedRuntime,
    missing,
    read_texts,
    refuse_unreadable,
)

AT_ONCE = 8
"""Images taken at once. They go through one by one, so that memory holds one image's products."""


def open_file(path: Path, *, num_threads: int | None = None) -> ExportedRuntime:
    """Read an ONNX file that `export` wrote."""
    try:
        import onnxruntime
    except ImportError as error:
        raise missing("onnxruntime", "onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads or 0
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each of its codes
        raise refuse_unreadable(path, error) from error
    description, export = read_texts(session.get_modelmeta().custom_metadata_map, path)

    def infer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = [session.run([SCORES, MAPS], {IMAGES: image[None]}) for image in images]
        scores, maps = zip(*found, strict=True)
        return np.concatenate(scores), np.concatenate(maps)

    return ExportedRuntime(
        description=description,
        arithmetic=f"onnxruntime {onnxruntime.__version__} on cpu, {export['precision']}",
        batch_size=AT_ONCE,
        infer=infer,
        export=export,
    )
