"""Time of a training step beside the literal reference, on the same features, in one process."""

import argparse
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from cfa_lab import reference
from cfa_lab.config import load_settings
from cfa_lab.fitting import fit_pyramid
from cfa_lab.training import Observer, Row

CHANNELS = {"resnet18": (64, 128, 256), "wide_resnet50": (256, 512, 1024)}
"""Level widths of the features that are made up, at strides 4, 8 and 16."""


def run_bench_train(
    backbone: str = "resnet18", *, size: int = 224, batch_size: int = 4, steps: int = 5
) -> dict[str, Any]:
    """Train `steps` steps with the literal reference, `exact` and `fast`, all on the same features.

    Each contestant runs by itself; its first step is a warm-up and not counted. Returns `setting`
    and `results`: for each contestant `seconds_per_image` (median step), `ratio` (the reference's
    over its own) and `loss_difference` (largest, relative to the reference's losses).
    """
    generator = torch.Generator().manual_seed(0)
    channels, side = CHANNELS[backbone], size // 4
    levels = [
        torch.randn(batch_size, count, side >> i, side >> i, generator=generator)
        for i, count in enumerate(channels)
    ]
    dimension = sum(channels)
    weight = (torch.rand(dimension, dimension + 2, generator=generator) * 2 - 1) / dimension**0.5
    bias = torch.zeros(dimension)
    batches = [list(range(batch_size))] * (steps + 1)

    def literal(step: Callable[[], None]) -> list[float]:
        run = reference.train(
            levels,
            batches=batches,
            bank_batches=batches[:1],
            weight=weight,
            bias=bias,
            on_step=step,
        )
        return [row["loss"] for row in run.history]

    def ours(precision: str) -> Callable[[Callable[[], None]], list[float]]:
        settings = load_settings("official")
        settings.trainer.precision = precision

        def train(step: Callable[[], None]) -> list[float]:
            def observe(row: Row) -> None:
                step()

            _, history = fit_pyramid(
                levels,
                preset=settings,
                batches=batches,
                bank_batches=batches[:1],
                initial_weight=weight,
                initial_bias=bias,
                observer=Observer(step=observe),
            )
            return [row["train/loss"] for row in history]

        return train

    results: dict[str, dict[str, Any]] = {}
    contestants = {"reference": literal, "exact": ours("exact"), "fast": ours("fast")}
    for name, train in contestants.items():
        times: list[float] = []
        losses = train(lambda times=times: times.append(time.perf_counter()))
        durations = [after - before for before, after in pairwise(times)]
        results[name] = {"seconds_per_image": median(durations) / batch_size, "losses": losses}
    literal_result = results["reference"]
    for result in results.values():
        result["ratio"] = literal_result["seconds_per_image"] / result["seconds_per_image"]
        result["loss_difference"] = max(
            abs(ours - theirs) / theirs
            for ours, theirs in zip(result["losses"], literal_result["losses"], strict=True)
        )
    setting = {"backbone": backbone, "size": size, "batch_size": batch_size, "steps": steps}
    return {"setting": setting | {"threads": torch.get_num_threads()}, "results": results}


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench train`: print the comparison, and write it with `--json`."""
    parser = argparse.ArgumentParser(prog="cfa_lab bench train", description=__doc__)
    parser.add_argument("--backbone", choices=CHANNELS, default="resnet18", help="feature widths")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--steps", type=int, default=5, help="steps that are timed")
    parser.add_argument("--json", type=Path, help="file to write the measurements to")
    options = parser.parse_args(argv)
    report = run_bench_train(options.backbone, size=options.size, steps=options.steps)
    setting = report["setting"]
    table = Table(
        "",
        "ms per image",
        "times faster",
        "loss differs by",
        title=f"training step, {setting['backbone']} features at {setting['size']} px",
    )
    for name, result in report["results"].items():
        milliseconds = f"{1000 * result['seconds_per_image']:.1f}"
        difference = f"{result['loss_difference']:.1e}"
        table.add_row(name, milliseconds, f"{result['ratio']:.2f}", difference)
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
