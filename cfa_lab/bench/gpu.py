"""A GPU measured: parts of a run and whole runs on it, beside the literal reference and the CPU.

Everything is made up: images are drawn, weights are random. What was measured is written after each
part, and a part that fails leaves the others, so that a short lease of a machine loses nothing.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console

from cfa_lab.bench import device_parts
from cfa_lab.bench.device_setting import WORKERS, Setting, device_memory
from cfa_lab.bench.pictures import CATEGORY, write_category
from cfa_lab.bench.processes import run_command
from cfa_lab.bench.report import machine, new_parser
from cfa_lab.bench.run import ARCHITECTURES, arguments_of
from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.record import record_of

EPOCHS = 30
"""Of a whole `official` run."""

Report = dict[str, Any]


def run_bench_gpu(
    setting: Setting,
    *,
    epochs: int = EPOCHS,
    num_jobs: int = 0,
    save: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Measure each part on the setting's device, then whole runs of `official` and `lab`.

    With `num_jobs`, a multirun of so many jobs of `lab`, too.

    Returns `setting`, `parts` (name -> what was measured, or `error`), `seconds` of each. `save`
    is called with it after every part.
    """
    report: Report = {"setting": asdict(setting) | {"epochs": epochs}, "parts": {}, "seconds": {}}

    def measure(name: str, work: Callable[[], dict[str, Any]]) -> None:
        began = time.perf_counter()
        found: dict[str, Any] = {}
        try:
            with device_memory(setting, found):
                found |= work()
        except Exception as error:  # the other parts are worth measuring all the same
            found["error"] = f"{type(error).__name__}: {error}"
        report["parts"][name] = found
        report["seconds"][name] = time.perf_counter() - began
        save(report)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        counts = {"num_train": setting.num_train, "num_test": setting.num_test}
        write_category(folder, **counts, size=setting.size)
        files = as_jpegs(folder)
        levels = setting.levels(setting.num_train)
        measure("extraction", lambda: device_parts.extraction(setting, files))
        for part in (device_parts.solved_fit, device_parts.floor, device_parts.prediction):
            measure(part.__name__, partial(part, setting, levels))
        del levels
        for part in (device_parts.training_step, device_parts.sorting, device_parts.agreement):
            measure(part.__name__, partial(part, setting))
        for preset in ("official", "lab"):
            measure(f"run of {preset}", partial(whole_run, setting, folder, preset, epochs))
        measure("metrics", partial(metrics_agreement, setting, folder / "few"))
        if num_jobs:
            measure("multirun", partial(multirun, setting, folder, num_jobs))
    return report


def as_jpegs(folder: Path) -> list[Path]:
    """The made-up training images once more, as JPEGs."""
    files: list[Path] = []
    for path in sorted((folder / CATEGORY / "train" / "good").iterdir()):
        files.append(folder / f"{path.stem}.jpg")
        with Image.open(path) as image:
            image.convert("RGB").save(files[-1], quality=92)
    return files


def metrics_agreement(setting: Setting, folder: Path) -> dict[str, Any]:
    """How far the metrics of short runs on few images are from those of the CPU."""
    write_category(folder, num_train=24, num_test=12, size=setting.size)
    found: dict[str, Any] = {}
    for preset in ("official", "lab"):
        there, here = (
            whole_run(replace(setting, device=device), folder, preset, 2, name)["metrics"]
            for name, device in (("there", setting.device), ("here", "cpu"))
        )
        found[preset] = {name: abs(value - here[name]) for name, value in there.items()}
    return found


def whole_run(
    setting: Setting, folder: Path, preset: str, epochs: int, name: str = "run"
) -> dict[str, Any]:
    """One command in a process of its own, files and figures included, features made anew.

    `after_start` are the seconds from the first feature to the last file.
    """
    target = folder / f"{name}-{preset}"
    arguments = [*_arguments(setting, folder, preset), f"hydra.run.dir='{target}'"]
    if preset == "official":
        arguments.append(f"trainer.epochs={epochs}")
    measured = _run(arguments)
    record = record_of(target)
    return measured | {
        "after_start": sum(record["timing"].values()),
        "timing": record["timing"],
        "metrics": record["metrics"],
    }


def multirun(setting: Setting, folder: Path, num_jobs: int) -> dict[str, Any]:
    """As many jobs of `lab` one after another in one process as a data set has categories.

    Their seeds differ; the images are the same files, decoded and extracted anew by each.
    """
    target = folder / "jobs"
    seeds = ",".join(map(str, range(num_jobs)))
    sweep = [f"seed={seeds}", f"hydra.sweep.dir='{target}'"]
    measured = _run(["-m", *_arguments(setting, folder, "lab"), *sweep])
    runs = [record_of(path.parent) for path in sorted(target.glob(f"*/{names.RECORD}"))]
    after_start = [sum(record["timing"].values()) for record in runs]
    return measured | {"jobs": len(runs), "after_start": after_start}


def _arguments(setting: Setting, folder: Path, preset: str) -> list[str]:
    """The command line of a run on the setting's device that keeps no features."""
    precision = "fast" if preset == "official" else "exact"
    return [
        *arguments_of(folder, setting.backbone, setting.size, 0, precision, preset=preset),
        f"device={setting.device}",
        f"features.batch_size={max(setting.batch_sizes)}",
        f"features.workers={WORKERS}",
        "features.cache=false",
    ]


def _run(arguments: list[str]) -> dict[str, Any]:
    """A command in a process of its own: its seconds, and its memory here and on the device."""
    script = Path(__file__).with_name("device_run.py")
    finished = run_command([sys.executable, script, *arguments], environment={})
    peak = json.loads(finished.output.strip().splitlines()[-1])
    return {"seconds": finished.seconds, "peak_bytes": finished.peak_bytes, **peak}


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench gpu`: print what was measured, and write it with `--json`."""
    parser = new_parser("gpu", __doc__)
    parser.add_argument("--device", default="cuda:0", help="cpu: to try the command without a GPU")
    parser.add_argument("--backbone", choices=ARCHITECTURES, nargs="+", default=[*ARCHITECTURES])
    parser.add_argument("--train", type=int, default=250, help="training images")
    parser.add_argument("--test", type=int, default=100, help="test images")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the official run")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--jobs", type=int, default=15, help="of the multirun; 0: none")
    parser.add_argument(
        "--quick", action="store_true", help="one backbone, 60 and 40 images, no multirun"
    )
    options = parser.parse_args(argv)
    if options.device != "cpu" and not torch.cuda.is_available():
        raise UserError(
            f"bench gpu found no CUDA device for --device {options.device}; "
            "--device cpu measures the same on the processor"
        )
    if options.quick:
        options.backbone = options.backbone[-1:]
        options.jobs = 0
        options.train, options.test = min(options.train, 60), min(options.test, 40)
    reports: dict[str, Report] = {}
    for backbone in options.backbone:
        setting = Setting(
            device=options.device,
            backbone=backbone,
            num_train=options.train,
            num_test=options.test,
            size=options.size,
            repeats=3 if options.quick else 7,
            batch_sizes=tuple(options.batch_sizes),
        )

        def save(report: Report, backbone: str = backbone) -> None:
            reports[backbone] = report
            name, found = list(report["parts"].items())[-1]
            seconds = report["seconds"][name]
            Console().print(f"[bold]{backbone}, {name}[/] ({seconds:.1f} s)", highlight=False)
            Console().print_json(json.dumps(found))
            if options.json:
                text = json.dumps({"reports": reports, "machine": machine()}, indent=2)
                options.json.write_text(text + "\n")

        run_bench_gpu(setting, epochs=options.epochs, num_jobs=options.jobs, save=save)
    failed = [
        f"{backbone}, {name}: {found['error']}"
        for backbone, report in reports.items()
        for name, found in report["parts"].items()
        if "error" in found
    ]
    if failed:
        raise UserError("not measured: " + "; ".join(failed))
