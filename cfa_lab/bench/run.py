"""A whole run, images to metrics, beside the literal published procedure and anomalib."""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from cfa_lab.bench.literal_run import literal_run
from cfa_lab.bench.pictures import CATEGORY, write_category
from cfa_lab.bench.processes import Finished, in_own_process, run_command
from cfa_lab.bench.report import new_parser, ratio_to, show
from cfa_lab.files import user_path
from cfa_lab.records.record import record_of
from cfa_lab.vocabulary import PRECISIONS

JUDGE = "literal procedure"
COMPARED = ("test/image_auroc", "test/pixel_auroc")

LAB = {
    "lab": [],
    "lab by adamw": ["optimizer=adamw", "loss.learnable_radius=true", "memory_bank.kind=mean"],
}
"""Our own preset: solved for, and trained by steps as it was before."""

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "resnet18": {"model": "resnet18"},
    "wide_resnet50": {"model": "wide_resnet50_2"},
}
"""By configuration name, of those that anomalib has too."""


def architecture(backbone: str) -> dict[str, Any]:
    """The arguments of `Architecture` that the official preset gives a backbone."""
    layers = ["layer1", "layer2", "layer3"]
    return ARCHITECTURES[backbone] | {"layers": layers, "activation": "leaky"}


def run_bench_run(
    *,
    backbone: str = "resnet18",
    num_train: int = 200,
    num_test: int = 100,
    size: int = 224,
    epochs: int = 30,
    literal_epochs: int = 1,
    anomalib: Path | None = None,
    anomalib_epochs: int = 3,
    seed: int = 0,
) -> dict[str, Any]:
    """Time whole runs of the official preset and of ours on made-up images; random weights.

    Ours are commands as a user types them, with an empty feature store: imports, extraction,
    `epochs` epochs, exact metrics with intervals, figures and files. The literal procedure runs
    `literal_epochs` epochs, each with its evaluation, and is scaled to `epochs`; anomalib, in an
    environment whose Python is given, fits `anomalib_epochs` and tests once, start-up included, its
    fit scaled likewise. Returns `setting` and `results` with `seconds`, `peak_bytes`, `ratio` and
    `differs` (largest difference of AUROCs to the literal procedure after its epochs).
    """
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_category(folder, num_train=num_train, num_test=num_test, size=size)
        arguments = (folder, size, architecture(backbone), literal_epochs, seed)
        literal, peak = in_own_process(literal_run, *arguments, torch.get_num_threads())
        parts = literal["seconds"]
        per_epoch = (parts["epochs"] + parts["evaluations"]) / literal_epochs
        results[JUDGE] = {
            "seconds": parts["bank"] + epochs * per_epoch,
            "peak_bytes": peak,
            "scaled_from": literal | {"epochs": literal_epochs},
        }
        for precision in PRECISIONS:
            chosen = arguments_of(folder, backbone, size, seed, precision)
            short = _run(folder / f"{precision}-short", chosen, literal_epochs)
            whole = _run(folder / precision, chosen, epochs)
            results[f"official {precision}"] = whole | {
                "differs": max(
                    abs(short["metrics"][name] - literal["metrics"][name]) for name in COMPARED
                )
            }
        for name, changes in LAB.items():
            chosen = arguments_of(folder, backbone, size, seed, "fast", preset="lab")
            results[name] = _run(folder / name.replace(" ", "-"), [*chosen, *changes], epochs)
        if anomalib is not None:
            finished = run_command(
                [
                    anomalib,
                    Path(__file__).with_name("anomalib_run.py"),
                    *(folder, CATEGORY, ARCHITECTURES[backbone]["model"]),
                    *(str(number) for number in (size, anomalib_epochs, folder / "anomalib")),
                ],
                environment={},
            )
            results["anomalib"] = _scaled(finished, epochs, anomalib_epochs)
    ratio_to(results, JUDGE)
    setting = {
        "backbone": backbone,
        "num_train": num_train,
        "num_test": num_test,
        "size": size,
        "epochs": epochs,
        "threads": torch.get_num_threads(),
    }
    return {"setting": setting, "results": results}


def arguments_of(
    root: Path, backbone: str, size: int, seed: int, precision: str, preset: str = "official"
) -> list[str]:
    """The command line of a run of a preset on made-up images."""
    return [
        f"preset={preset}",
        "dataset=mvtec",
        f"dataset.root='{root}'",
        f"category={CATEGORY}",
        f"backbone={backbone}",
        "backbone.weights=random",
        "image.resize=stretch",
        "image.crop=null",
        f"image.height={size}",
        f"image.width={size}",
        f"trainer.precision={precision}",
        f"features.precision={precision if preset == 'official' else 'exact'}",
        f"trainer.num_threads={torch.get_num_threads()}",
        f"seed={seed}",
        "tracker=none",
    ]


def _run(folder: Path, arguments: list[str], epochs: int) -> dict[str, Any]:
    """One command of ours, its features made anew."""
    finished = run_command(
        [
            *(sys.executable, "-m", "cfa_lab", *arguments),
            f"trainer.epochs={epochs}",
            f"hydra.run.dir='{folder}'",
            f"features.folder='{folder}-features'",
        ],
        environment={},
    )
    record = record_of(folder)
    return {
        "seconds": finished.seconds,
        "peak_bytes": finished.peak_bytes,
        "metrics": record["metrics"],
        "parts": record["timing"],
    }


def _scaled(finished: Finished, epochs: int, measured_epochs: int) -> dict[str, Any]:
    parts = json.loads(finished.output.strip().splitlines()[-1])
    start = finished.seconds - parts["fit"] - parts["test"]
    return {
        "seconds": start + parts["fit"] * epochs / measured_epochs + parts["test"],
        "peak_bytes": finished.peak_bytes,
        "scaled_from": parts | {"start": start, "epochs": measured_epochs},
    }


def add_anomalib(parser: argparse.ArgumentParser) -> None:
    """The option that brings anomalib into a comparison."""
    parser.add_argument(
        "--anomalib",
        type=user_path,
        metavar="PYTHON",
        help="Python of an environment with anomalib 2.7",
    )


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench run`: print the comparison, and write it with `--json`."""
    parser = new_parser("run", __doc__)
    parser.add_argument("--backbone", choices=ARCHITECTURES, default="resnet18")
    parser.add_argument("--train", type=int, default=200, help="training images")
    parser.add_argument("--test", type=int, default=100, help="test images")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--literal-epochs", type=int, default=1, help="measured, then scaled")
    add_anomalib(parser)
    options = parser.parse_args(argv)
    report = run_bench_run(
        backbone=options.backbone,
        num_train=options.train,
        num_test=options.test,
        size=options.size,
        epochs=options.epochs,
        literal_epochs=options.literal_epochs,
        anomalib=options.anomalib,
    )
    show(
        f"{options.epochs} epochs on {options.train} images, {options.test} test images",
        report,
        {
            "seconds": lambda result: (
                f"{result['seconds']:.1f}" + (" (scaled)" if "scaled_from" in result else "")
            ),
            "times faster": lambda result: f"{result['ratio']:.1f}",
            "peak MB": lambda result: f"{result['peak_bytes'] / 1e6:.0f}",
            "AUROC differs by": lambda result: f"{result.get('differs', float('nan')):.1e}",
        },
        options.json,
    )
