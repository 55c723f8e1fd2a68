"""Images to score maps and image scores: throughput beside the literal reference and anomalib."""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from cfa_lab import reference
from cfa_lab.bench.processes import in_own_process, run_command
from cfa_lab.bench.report import new_parser, ratio_to, show
from cfa_lab.bench.run import ARCHITECTURES, add_anomalib, architecture
from cfa_lab.config import load_settings
from cfa_lab.data.geometry import Geometry
from cfa_lab.deploy.exported import open_exported
from cfa_lab.deploy.exporting import export
from cfa_lab.deploy.runtime_torch import TorchRuntime
from cfa_lab.errors import UserError
from cfa_lab.features.extract import Extractor
from cfa_lab.features.networks import make_network
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.method.detector import Detector
from cfa_lab.training.description import ModelDescription
from cfa_lab.training.parts import make_descriptor, make_scoring
from cfa_lab.vocabulary import PRECISIONS, Precision, one_of

JUDGE = "reference"
OURS = "openvino"
THEIRS = {"anomalib": "anomalib_predict.py", "anomalib openvino": "anomalib_openvino.py"}
"""Contestant -> script for their Python."""

BACKBONES = ARCHITECTURES | {
    "efficientnet_lite0": {
        "model": "tf_efficientnet_lite0",
        "layers": ["blocks.1", "blocks.2", "blocks.4"],
    }
}
"""By configuration name; anomalib knows all but the last, which its export is given."""


def run_bench_predict(
    backbone: str = "resnet18",
    *,
    size: int = 224,
    batch_sizes: tuple[int, ...] = (1, 16),
    repeats: int = 5,
    gamma_d: int = 1,
    gamma_c: int = 1,
    anomalib: Path | None = None,
) -> dict[str, Any]:
    """Score made-up images with an untrained detector, decoded images in, maps and scores out.

    Each contestant has a process of its own: `reference` (float32, dense distances, scipy), `exact`
    and `fast` (features with bf16 products, where the hardware gains), `openvino`, the export in
    float32, and anomalib where a Python that has it is given, uncompressed, in torch and as its own
    OpenVINO export in float32. `gamma_d` divides the descriptor's dimension, `gamma_c` the bank's
    entries. Returns `setting` and `results`, one for each contestant and batch size:
    `seconds` an image (median of `repeats`), `ratio` to the reference at that batch size,
    `peak_bytes` and `differs`: largest difference of maps to the reference's, over its range; the
    export's to those of `exact` as `differs_from_exact`.
    """
    results: dict[str, dict[str, Any]] = {}
    num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as temporary:
        exported = Path(temporary) / "model.xml"
        in_own_process(_export, exported, backbone, size, (gamma_d, gamma_c))
        for batch_size in batch_sizes:
            of_size: dict[str, dict[str, Any]] = {}
            found: dict[str, np.ndarray] = {}
            for name in (JUDGE, *PRECISIONS, OURS):
                setting = (size, batch_size, repeats, num_threads)
                if name == OURS:
                    (seconds, maps), peak = in_own_process(_predict_exported, exported, *setting)
                else:
                    arguments = (name, backbone, (gamma_d, gamma_c), *setting)
                    (seconds, maps), peak = in_own_process(_predict, *arguments)
                found[name] = maps
                of_size[name] = {
                    "seconds": seconds,
                    "peak_bytes": peak,
                    "differs": _difference(maps, found[JUDGE]),
                }
            exact = _difference(found[OURS], found["exact"])
            of_size[OURS]["differs_from_exact"] = exact
            if anomalib is not None:
                numbers = map(str, (size, batch_size, repeats, num_threads))
                of_size |= _anomalib(anomalib, backbone, *numbers, temporary)
            ratio_to(of_size, JUDGE)
            results |= {f"{name}, batch {batch_size}": value for name, value in of_size.items()}
    setting = {"backbone": backbone, "size": size, "repeats": repeats}
    setting |= {"gamma_d": gamma_d, "gamma_c": gamma_c}
    return {"setting": setting | {"threads": num_threads}, "results": results}


def _difference(maps: np.ndarray, judge: np.ndarray) -> float:
    return float(np.abs(maps - judge).max() / np.ptp(judge))


def _anomalib(python: Path, backbone: str, *arguments: str) -> dict[str, dict[str, Any]]:
    """anomalib's own contestants; its torch model only for a backbone that it knows."""
    results: dict[str, dict[str, Any]] = {}
    for name, script in THEIRS.items():
        if name == "anomalib" and backbone not in ARCHITECTURES:
            continue
        finished = run_command(
            [python, Path(__file__).with_name(script), BACKBONES[backbone]["model"], *arguments],
            environment={},
        )
        results[name] = {"seconds": json.loads(finished.output.strip().splitlines()[-1])["seconds"]}
    return results


def _predict(
    name: str,
    backbone: str,
    gammas: tuple[int, int],
    size: int,
    batch_size: int,
    repeats: int,
    num_threads: int,
) -> tuple[float, np.ndarray]:
    """One contestant's seconds per image and its maps (b, size, size)."""
    torch.set_num_threads(num_threads)
    pixels = _pixels(batch_size, size)
    precision: Precision = "exact" if name == JUDGE else one_of("contestant", name, PRECISIONS)
    runtime = _model(backbone, size, gammas, precision=precision, batch_size=batch_size)
    detector, extractor = runtime.detector, runtime.extractor

    def literal() -> np.ndarray:
        descriptor, network = detector.descriptor, extractor.backbone
        with torch.no_grad():
            levels = network(torch.from_numpy(pixels).movedim(-1, 1))
            phi = reference.describe(levels, descriptor.weight, descriptor.bias)
            scores = reference.patch_scores(phi, detector.bank).unflatten(1, levels[0].shape[-2:])
            return reference.score_maps(scores, (size, size))

    def ours() -> np.ndarray:
        scores = detector.patch_scores(extractor.pyramid(list(pixels)))
        maps = detector.scoring.maps(scores, (size, size))
        detector.scoring.image_scores(maps)
        return maps.numpy()

    return _timed(literal if name == JUDGE else ours, repeats, batch_size)


def _predict_exported(
    path: Path, size: int, batch_size: int, repeats: int, num_threads: int
) -> tuple[float, np.ndarray]:
    """The same of an exported file."""
    runtime = open_exported(path, OURS, num_threads=num_threads)
    pixels = _pixels(batch_size, size)
    return _timed(lambda: runtime.infer(pixels)[1], repeats, batch_size)


def _timed(
    score: Callable[[], np.ndarray], repeats: int, batch_size: int
) -> tuple[float, np.ndarray]:
    """Seconds per image, the median after a first time, and what is scored."""
    maps = score()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        score()
        seconds.append((time.perf_counter() - began) / batch_size)
    return median(seconds), maps


def _export(path: Path, backbone: str, size: int, gammas: tuple[int, int]) -> None:
    """Write our OpenVINO export of the model that all contestants have."""
    runtime = _model(backbone, size, gammas, precision="exact", batch_size=1)
    export(runtime, path.parent, path, kind=OURS)


def _pixels(batch_size: int, size: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (batch_size, size, size, 3), dtype=np.uint8)


def _model(
    backbone: str, size: int, gammas: tuple[int, int], *, precision: Precision, batch_size: int
) -> TorchRuntime:
    """An untrained model of the official preset, its bank made of the first image's patches."""
    architecture = Architecture(**_architecture(backbone))
    network = Backbone(architecture, make_network(architecture.model, weights="random"))
    settings = load_settings("official")
    settings.descriptor.gamma_d, gamma_c = gammas
    descriptor = make_descriptor(settings, network.channels, dimension_factor=1, seed=0)
    descriptor.requires_grad_(False)
    geometry = Geometry(resize="stretch", height=size, width=size)
    extractor = Extractor(
        backbone=network,
        geometry=geometry,
        device=torch.device("cpu"),
        dtype="float32",
        precision=precision,
        batch_size=batch_size,
        workers=1,
    )
    bank = descriptor([level[:1] for level in extractor.pyramid(list(_pixels(1, size)))])[0]
    bank = bank[::gamma_c]  # about as many entries as K-means would leave
    bank = bank + 0.1 * bank.std() * torch.randn(bank.shape, generator=torch.manual_seed(0))
    detector = Detector(descriptor, bank, torch.tensor(0.1), make_scoring(settings))
    description = ModelDescription(
        channels=list(network.channels),
        scoring=asdict(detector.scoring),
        backbone=asdict(architecture),
        backbone_weights_hash=extractor.weights_hash,
        image=geometry,
        features={"dtype": "float32", "precision": precision, "batch_size": batch_size},
    )
    return TorchRuntime(description, detector, extractor)


def _architecture(backbone: str) -> dict[str, Any]:
    known = backbone in ARCHITECTURES
    return architecture(backbone) if known else BACKBONES[backbone]


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench predict`: print the comparison, and write it with `--json`."""
    parser = new_parser("predict", __doc__)
    parser.add_argument("--backbone", choices=BACKBONES, default="resnet18")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--gamma-d", type=int, default=1, help="divides the descriptor's dimension")
    parser.add_argument("--gamma-c", type=int, default=1, help="divides the bank's entries")
    add_anomalib(parser)
    options = parser.parse_args(argv)
    for name, gamma in (("--gamma-d", options.gamma_d), ("--gamma-c", options.gamma_c)):
        if gamma < 1:
            raise UserError(f"{name} is {gamma}; allowed: 1 (nothing left out) or more")
    if options.anomalib and (options.gamma_d, options.gamma_c) != (1, 1):
        raise UserError(
            "--anomalib has nothing to compare with --gamma-d or --gamma-c; leave one out"
        )
    report = run_bench_predict(
        options.backbone,
        size=options.size,
        repeats=options.repeats,
        gamma_d=options.gamma_d,
        gamma_c=options.gamma_c,
        anomalib=options.anomalib,
    )
    show(
        f"prediction, {options.backbone} at {options.size} px, "
        f"gamma_d {options.gamma_d}, gamma_c {options.gamma_c}",
        report,
        {
            "ms per image": lambda result: f"{1000 * result['seconds']:.1f}",
            "images a second": lambda result: f"{1 / result['seconds']:.1f}",
            "times faster": lambda result: f"{result['ratio']:.2f}",
            "peak MB": lambda result: f"{result.get('peak_bytes', float('nan')) / 1e6:.0f}",
            "maps differ by": lambda result: f"{result.get('differs', float('nan')):.1e}",
        },
        options.json,
    )
