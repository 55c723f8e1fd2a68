"""A run's model written as one file for another runtime, kept only if it scores the same."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cfa_lab.data.samples import SampleTable
from cfa_lab.deploy.exported import DESCRIPTION, EXPORT, ExportedRuntime, open_exported
from cfa_lab.deploy.formats import FORMATS, OPENVINO_HINTS, quietly
from cfa_lab.deploy.gate import BOUND, compare, max_of, refuse, refuse_loss
from cfa_lab.deploy.graph import ScoringGraph
from cfa_lab.deploy.run_data import load_some, measure, random_inputs, table_of_run
from cfa_lab.deploy.runtime_torch import BACKBONE, TorchRuntime
from cfa_lab.errors import UserError
from cfa_lab.training.description import ModelDescription
from cfa_lab.training.model_files import save_model

NUM_REAL, NUM_RANDOM = 10, 4
"""Test images and noise that the gate looks at.

No training images: their patches may stand in the bank, at a distance that is nothing but rounding.
"""
NUM_RANGES = 32
"""Training images, at most, that int8 takes its ranges from."""
PACKAGES = ("cfa-lab", "torch", "timm", "onnx", "onnxscript", "onnxruntime", "openvino")


def graph_of(runtime: TorchRuntime) -> ScoringGraph:
    """The graph of a run's model, on the CPU; raises UserError for one that tiles images."""
    geometry, extractor = runtime.description.image, runtime.extractor
    if geometry.resize == "tile":
        raise UserError(
            "image.resize=tile: scores of tiles are merged outside any graph; predict with the "
            "run folder, or export --format model"
        )
    return ScoringGraph(
        extractor.backbone.cpu(),
        runtime.detector.cpu(),
        input_size=geometry.input_size,
        half=extractor.dtype == "half",
        deep=geometry.depth.deep,
    )


def export(
    runtime: TorchRuntime,
    folder: Path,
    out: Path,
    *,
    kind: str,
    precision: str = "float32",
    most_lost: float = 0.01,
) -> ExportedRuntime:
    """Write the model of a run folder as a file of a format; returns it at work.

    It is compared with `runtime`, with float32 features, on images of the run and on random ones;
    raises UserError, and leaves nothing, where it differs by more than the gate's bound. A reduced
    precision is judged by the run's test set: no metric may fall by more than `most_lost`.
    """
    chosen = FORMATS[kind]
    if precision not in chosen.precisions:
        raise UserError(
            f"--precision is {precision!r}; allowed for {kind}: {', '.join(chosen.precisions)}"
        )
    table = table_of_run(folder)
    if precision != "float32" and table is None:
        raise UserError(
            "a reduced precision is judged by the run's test set, and its images are not where "
            "they were; put them back"
        )
    runtime = exact(runtime)
    built = _built(runtime, kind, precision, table)
    facts: dict[str, Any] = {
        "format": kind,
        "precision": precision,
        "inference_precision": OPENVINO_HINTS[precision],
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as scratch:
        path = Path(scratch) / out.name

        def save() -> ExportedRuntime:
            with quietly():
                chosen.save(built, path, texts_of(runtime.description, facts))
            return open_exported(path, kind)

        bound = None if precision == "float32" else most_lost
        facts |= judge(runtime, save(), table, most_lost=bound)
        save()
        for file in sorted(Path(scratch).iterdir(), key=lambda file: file == path):
            file.replace(out.parent / file.name)
    return open_exported(out, kind)


def _built(runtime: TorchRuntime, kind: str, precision: str, table: SampleTable | None) -> Any:
    graph = graph_of(runtime)
    images: list[np.ndarray] = []
    if precision == "int8" and table is not None:
        geometry = runtime.description.image
        images = [one.pixels for (one,) in load_some(table, table.train, geometry, NUM_RANGES)]
    try:
        with quietly():
            return FORMATS[kind].build(graph, precision, images)
    except UserError:
        raise
    except Exception as error:  # tracing a network of somebody else's may raise anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{runtime.description.backbone['model']} cannot be exported to {kind} ({reason}); "
            "try another format, or --format model"
        ) from error


def export_model(runtime: TorchRuntime, out: Path, *, include_backbone: bool) -> None:
    """Write a model's two files into a folder, with the backbone's weights inside or without."""
    weights = runtime.extractor.backbone.network.state_dict() if include_backbone else {}
    out.mkdir(parents=True, exist_ok=True)
    save_model(
        out,
        runtime.detector,
        runtime.description,
        others={f"{BACKBONE}{name}": value for name, value in weights.items()},
    )


def exact(runtime: TorchRuntime) -> TorchRuntime:
    """The same model with float32 features: what a graph can be compared with."""
    extractor = replace(runtime.extractor, precision="exact", device=torch.device("cpu"))
    return TorchRuntime(runtime.description, runtime.detector.cpu(), extractor)


def judge(
    original: TorchRuntime,
    exported: ExportedRuntime,
    table: SampleTable | None,
    *,
    most_lost: float | None,
) -> dict[str, Any]:
    """What the gate saw, as JSON values; raises UserError where it lets the export not pass.

    `table` has the run's images, None where they are gone; `most_lost` is given for a reduced
    precision, which needs them.
    """
    geometry = original.description.image
    sets = [random_inputs(geometry, NUM_RANDOM)]
    if table is not None and table.test:
        sets.append(load_some(table, table.test, geometry, NUM_REAL))
    parity = max_of([compare(original, exported, images) for images in sets])
    found = {"parity": asdict(parity), "real_images": len(sets) > 1}
    if most_lost is None or table is None:
        refuse(parity, f"the {exported.export['format']} export")
        return found | {"bound": BOUND}
    metrics = {"original": measure(original, table), "exported": measure(exported, table)}
    refuse_loss(metrics["original"], metrics["exported"], most_lost)
    return found | {"metrics": metrics, "most_lost": most_lost}


def texts_of(description: ModelDescription, facts: Mapping[str, Any]) -> dict[str, str]:
    """The two texts inside an exported file."""
    return {DESCRIPTION: json.dumps(description.to_json()), EXPORT: json.dumps(facts)}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
