"""An exported program of torch (`torch.export`) on the CPU; imports torch, no network's code."""

import warnings
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from cfa_lab.deploy.exported import (
    DESCRIPTION,
    EXPORT,
    ExportedRuntime,
    read_texts,
    refuse_unreadable,
)

AT_ONCE = 8
"""Images taken at once. They go through one by one, so that memory holds one image's products."""


def open_file(path: Path, *, num_threads: int | None = None) -> ExportedRuntime:
    """Read a program that `export` wrote; `num_threads` is the process's."""
    import torch

    if num_threads is not None:
        torch.set_num_threads(num_threads)
    texts: dict[str, Any] = {DESCRIPTION: "", EXPORT: ""}
    try:
        with warnings.catch_warnings():
            # torch 2.9 reads weights from memory that it may not write to, and never does
            warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)
            module = torch.export.load(path, extra_files=texts).module()
    except Exception as error:  # whatever unpacking a damaged archive raises
        raise refuse_unreadable(path, error) from error
    description, export = read_texts({k: str(v) for k, v in texts.items() if v}, path)
    lock = Lock()

    @torch.no_grad()
    def infer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with lock:
            found = [module(torch.from_numpy(image[None])) for image in images]
        scores, maps = zip(*found, strict=True)
        return torch.cat(scores).numpy(), torch.cat(maps).numpy()

    return ExportedRuntime(
        description=description,
        arithmetic=f"torch {torch.__version__} on cpu, exported program, {export['precision']}",
        batch_size=AT_ONCE,
        infer=infer,
        export=export,
    )
