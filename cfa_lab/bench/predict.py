"""Images to score maps and image scores: throughput beside the literal reference and anomalib."""

import json
import time
from collections.abc import Callable
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
from cfa_lab.errors import UserError
from cfa_lab.features.extract import Extractor
from cfa_lab.features.networks import make_network
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.method.detector import Detector
from cfa_lab.training.parts import make_descriptor, make_scoring
from cfa_lab.vocabulary import PRECISIONS, one_of

JUDGE = "reference"


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
    and `fast` (features with bf16 products, where the hardware gains), and anomalib where a Python
    that has it is given, uncompressed. `gamma_d` divides the descriptor's dimension, `gamma_c` the
    bank's entries. Returns `setting` and `results`, one for each contestant and batch size:
    `seconds` an image (median of `repeats`), `ratio` to the reference at that batch size,
    `peak_bytes` and `differs`: largest difference of maps to the reference's, over its range.
    """
    results: dict[str, dict[str, Any]] = {}
    for batch_size in batch_sizes:
        of_size: dict[str, dict[str, Any]] = {}
        judge = np.empty(0)
        for name in (JUDGE, *PRECISIONS):
            (seconds, maps), peak = in_own_process(
                *(_predict, name, backbone, size, batch_size, repeats),
                *((gamma_d, gamma_c), torch.get_num_threads()),
            )
            judge = maps if name == JUDGE else judge
            differs = float(np.abs(maps - judge).max() / np.ptp(judge))
            of_size[name] = {"seconds": seconds, "peak_bytes": peak, "differs": differs}
        if anomalib is not None:
            finished = run_command(
                [
                    anomalib,
                    Path(__file__).with_name("anomalib_predict.py"),
                    ARCHITECTURES[backbone]["model"],
                    *map(str, (size, batch_size, repeats, torch.get_num_threads())),
                ],
                environment={},
            )
            seconds = json.loads(finished.output.strip().splitlines()[-1])["seconds"]
            of_size["anomalib"] = {"seconds": seconds}
        ratio_to(of_size, JUDGE)
        results |= {f"{name}, batch {batch_size}": value for name, value in of_size.items()}
    setting = {"backbone": backbone, "size": size, "repeats": repeats}
    setting |= {"gamma_d": gamma_d, "gamma_c": gamma_c}
    return {"setting": setting | {"threads": torch.get_num_threads()}, "results": results}


def _predict(
    name: str,
    backbone: str,
    size: int,
    batch_size: int,
    repeats: int,
    gammas: tuple[int, int],
    num_threads: int,
) -> tuple[float, np.ndarray]:
    """One contestant's seconds per image and its maps (b, size, size)."""
    torch.set_num_threads(num_threads)
    generator = np.random.default_rng(0)
    pixels = list(generator.integers(0, 256, (batch_size, size, size, 3), dtype=np.uint8))
    arguments = architecture(backbone)
    network = Backbone(
        Architecture(**arguments), make_network(arguments["model"], weights="random")
    )
    settings = load_settings("official")
    settings.descriptor.gamma_d, gamma_c = gammas
    descriptor = make_descriptor(settings, network.channels, dimension_factor=1, seed=0)
    descriptor.requires_grad_(False)
    extractor = Extractor(
        backbone=network,
        geometry=Geometry(resize="stretch", height=size, width=size),
        device=torch.device("cpu"),
        dtype="float32",
        precision="exact" if name == JUDGE else one_of("contestant", name, PRECISIONS),
        batch_size=batch_size,
        workers=1,
    )
    bank = descriptor([level[:1] for level in extractor.pyramid(pixels)])[0]
    bank = bank[::gamma_c]  # about as many entries as K-means would leave
    bank = bank + 0.1 * bank.std() * torch.randn(bank.shape, generator=torch.manual_seed(0))
    detector = Detector(descriptor, bank, torch.tensor(0.1), make_scoring(settings))

    def literal() -> np.ndarray:
        with torch.no_grad():
            levels = network(torch.from_numpy(np.stack(pixels)).movedim(-1, 1))
            phi = reference.describe(levels, descriptor.weight, descriptor.bias)
            scores = reference.patch_scores(phi, bank).unflatten(1, levels[0].shape[-2:])
            return reference.score_maps(scores, (size, size))

    def ours() -> np.ndarray:
        scores = detector.patch_scores(extractor.pyramid(pixels))
        maps = detector.scoring.maps(scores, (size, size))
        detector.scoring.image_scores(maps)
        return maps.numpy()

    score: Callable[[], np.ndarray] = literal if name == JUDGE else ours
    maps = score()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        score()
        seconds.append((time.perf_counter() - began) / batch_size)
    return median(seconds), maps


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench predict`: print the comparison, and write it with `--json`."""
    parser = new_parser("predict", __doc__)
    parser.add_argument("--backbone", choices=ARCHITECTURES, default="resnet18")
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
