"""A sweep over K, J, r and alpha: how much of its time is anything but fitting and measuring."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from cfa_lab.bench.literal_run import literal_run
from cfa_lab.bench.pictures import write_category
from cfa_lab.bench.processes import in_own_process, run_command
from cfa_lab.bench.report import new_parser, show
from cfa_lab.bench.run import architecture, arguments_of
from cfa_lab.records import names
from cfa_lab.records.record import record_of

GRID = ("loss.K=1,3", "loss.J=1,3", "loss.r=0.00001,0.1", "loss.alpha=0.05,0.1,0.2,0.4")
"""32 settings."""


def run_bench_sweep(
    *,
    backbone: str = "resnet18",
    grid: tuple[str, ...] = GRID,
    num_train: int = 16,
    num_test: int = 8,
    size: int = 224,
    epochs: int = 2,
) -> dict[str, Any]:
    """Run every setting of a grid in one multirun with the basic launcher, features made once.

    Beside it stands the literal procedure: one setting is run for one epoch and scaled to all
    epochs and settings. Returns `setting` and `results`, each with `seconds` and `ratio`; the sweep
    also with its `parts`: seconds of all runs together, and the `rest`: start-up, data, network. No
    figures are drawn (`evaluation.cases=0`).
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_category(folder, num_train=num_train, num_test=num_test, size=size)
        literal, _ = in_own_process(
            literal_run, folder, size, architecture(backbone), 1, 0, torch.get_num_threads()
        )
        finished = run_command(
            [
                *(sys.executable, "-m", "cfa_lab", "-m"),
                *arguments_of(folder, backbone, size, 0, "fast"),
                *grid,
                f"trainer.epochs={epochs}",
                "evaluation.cases=0",
                f"hydra.sweep.dir='{folder / 'sweep'}'",
                f"features.folder='{folder / 'features'}'",
            ],
            environment={},
        )
        files = sorted((folder / "sweep").glob(f"*/{names.RECORD}"))
        records = [record_of(path.parent) for path in files]
    parts: dict[str, float] = {}
    for record in records:
        for name, seconds in record["timing"].items():
            parts[name] = parts.get(name, 0.0) + seconds
    parts["rest"] = finished.seconds - sum(parts.values())
    seconds = literal["seconds"]
    per_run = seconds["bank"] + epochs * (seconds["epochs"] + seconds["evaluations"])
    whole = per_run * len(records)
    results = {
        "literal procedure": {"seconds": whole, "ratio": 1.0, "parts": seconds},
        "sweep": {
            "seconds": finished.seconds,
            "ratio": whole / finished.seconds,
            "parts": parts,
        },
    }
    setting = {"num_settings": len(records), "num_train": num_train, "num_test": num_test}
    return {"setting": setting | {"size": size, "epochs": epochs}, "results": results}


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench sweep`: print the comparison, and write it with `--json`."""
    parser = new_parser("sweep", __doc__)
    parser.add_argument("--train", type=int, default=16, help="training images")
    parser.add_argument("--test", type=int, default=8, help="test images")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args(argv)
    report = run_bench_sweep(
        num_train=options.train, num_test=options.test, size=options.size, epochs=options.epochs
    )

    def named(result: dict[str, Any]) -> str:
        parts = result["parts"].items()
        return ", ".join(
            f"{name.removeprefix('time/').removesuffix('_seconds')} {seconds:.1f}"
            for name, seconds in parts
        )

    show(
        f"{report['setting']['num_settings']} settings, {options.epochs} epochs each, no figures",
        report,
        {
            "seconds": lambda result: f"{result['seconds']:.1f}",
            "times faster": lambda result: f"{result['ratio']:.1f}",
            "of which": named,
        },
        options.json,
    )
