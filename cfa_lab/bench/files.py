"""Image files to predictions: `predict` on a folder beside the scoring alone."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from cfa_lab.bench.pictures import CATEGORY, write_category
from cfa_lab.bench.processes import in_own_process, run_command
from cfa_lab.bench.report import new_parser, ratio_to, show
from cfa_lab.bench.run import ARCHITECTURES, arguments_of
from cfa_lab.deploy.intake import take_in
from cfa_lab.deploy.predict import predict
from cfa_lab.deploy.runtime_torch import load_run
from cfa_lab.deploy.table import PredictionTable
from cfa_lab.deploy.writer import Outputs

JUDGE = "scoring alone"
NUM_TRAIN, NUM_TEST, NUM_DECODED = 16, 8, 64


def run_bench_files(
    backbone: str = "resnet18", *, num_images: int = 1000, size: int = 224, repeats: int = 2
) -> dict[str, Any]:
    """Train `lab` on made-up images, then score JPEGs: decoded ones, and files from disk.

    Contestants: `scoring alone` of inputs that are decoded and resized; `predict`, from files to
    table and overlays; `predict, no overlays`. Start-up, the same for all, is left out; the median
    of `repeats`, which take turns. Returns `setting` and `results` with `seconds` an image and
    `ratio` to scoring alone.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_category(folder, num_train=NUM_TRAIN, num_test=NUM_TEST, size=size)
        chosen = arguments_of(folder, backbone, size, 0, "exact", preset="lab")
        run_command(
            [
                *(sys.executable, "-m", "cfa_lab", *chosen, f"hydra.run.dir='{folder / 'run'}'"),
                "features.cache=false",
            ],
            environment={},
        )
        _write_jpegs(folder, num_images)
        arguments = (folder, num_images, repeats, torch.get_num_threads())
        seconds, peak = in_own_process(_measure, *arguments)
    results = {name: {"seconds": value, "peak_bytes": peak} for name, value in seconds.items()}
    ratio_to(results, JUDGE)
    setting = {"backbone": backbone, "num_images": num_images, "size": size}
    return {"setting": setting | {"threads": torch.get_num_threads()}, "results": results}


def _write_jpegs(folder: Path, num_images: int) -> None:
    """The test images again and again, as JPEGs of a new brightness each."""
    (folder / "files").mkdir()
    pictures = sorted((folder / CATEGORY / "test").rglob("*.png"))
    for i in range(num_images):
        with Image.open(pictures[i % len(pictures)]) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int) + i % 7
        path = folder / "files" / f"{i:05}.jpg"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=92)


def _measure(folder: Path, num_images: int, repeats: int, num_threads: int) -> dict[str, float]:
    """Seconds an image of each contestant."""
    torch.set_num_threads(num_threads)
    runtime = load_run(folder / "run")
    files = sorted((folder / "files").iterdir())
    taken = [take_in(path, runtime.description.image, None) for path in files[:NUM_DECODED]]
    inputs = [one.inputs for one in taken]
    batch_size = runtime.batch_size

    def alone(run: int) -> None:
        for start in range(0, num_images, batch_size):
            first = start % NUM_DECODED
            runtime.score(inputs[first : first + batch_size])

    def whole(run: int, *, with_overlays: bool) -> None:
        scale = runtime.description.colour_range if with_overlays else None
        out = folder / f"out-{with_overlays}-{run}"
        outputs = Outputs(folder=out, pixel_threshold=0.0, colour_range=scale)
        with PredictionTable(out, resume=False) as table:
            predict(runtime, files, table, outputs)

    contestants = {
        JUDGE: alone,
        "predict": lambda run: whole(run, with_overlays=True),
        "predict, no overlays": lambda run: whole(run, with_overlays=False),
    }
    runtime.score(inputs[:batch_size])  # compiles, or loads what is compiled
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in range(repeats):
        for name, contestant in contestants.items():
            began = time.perf_counter()
            contestant(run)
            seconds[name].append((time.perf_counter() - began) / num_images)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench files`: print the comparison, and write it with `--json`."""
    parser = new_parser("files", __doc__)
    parser.add_argument("--backbone", choices=ARCHITECTURES, default="resnet18")
    parser.add_argument("--images", type=int, default=1000, help="JPEG files")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args(argv)
    report = run_bench_files(
        options.backbone, num_images=options.images, size=options.size, repeats=options.repeats
    )
    show(
        f"files to predictions, {options.backbone}, {options.images} JPEGs of {options.size} px",
        report,
        {
            "ms per image": lambda result: f"{1000 * result['seconds']:.1f}",
            "images a second": lambda result: f"{1 / result['seconds']:.1f}",
            "of scoring alone": lambda result: f"{result['ratio']:.0%}",
        },
        options.json,
    )
