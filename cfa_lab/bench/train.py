"""Time and memory of a training step beside the literal reference, on the same features."""

import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import torch

from cfa_lab import reference
from cfa_lab.bench.floor import floor_of
from cfa_lab.bench.processes import in_own_process
from cfa_lab.bench.report import largest_difference, new_parser, ratio_to, show
from cfa_lab.config import load_settings
from cfa_lab.method.precision import multiplies_faster_in_bf16
from cfa_lab.training.fit import fit_pyramid
from cfa_lab.training.state import Observer
from cfa_lab.vocabulary import PRECISIONS

CHANNELS = {"resnet18": (64, 128, 256), "wide_resnet50": (256, 512, 1024)}
"""Level widths of the features that are made up, at strides 4, 8 and 16."""

JUDGE = "reference"
CONTESTANTS = (JUDGE, *PRECISIONS)


def run_bench_train(
    backbone: str = "resnet18",
    *,
    height: int = 224,
    width: int = 224,
    batch_size: int = 4,
    steps: int = 5,
    contestants: tuple[str, ...] = CONTESTANTS,
) -> dict[str, Any]:
    """Train `steps` steps with each contestant on the same features, each in its own process.

    The features are random numbers, the worst case: none of the bank's dimensions can be spared.

    The first step is a warm-up and not counted. Returns `setting` and `results`: for each
    contestant `seconds_per_image` (median step), `peak_bytes` (beyond the libraries), `losses`, and
    `floor` and `floor_ratio` (its share of the time; see `floor_of`), and
    where the reference takes part `ratio` (its time over theirs) and `loss_difference` (relative).
    """
    size = (height, width)
    results: dict[str, dict[str, Any]] = {}
    for name in contestants:
        arguments = (name, backbone, size, batch_size, steps, torch.get_num_threads())
        result, peak = in_own_process(_train, *arguments)
        results[name] = result | {"peak_bytes": peak}
    for name in set(contestants) - {JUDGE}:
        gains = multiplies_faster_in_bf16(torch.device("cpu"))
        rounded = (gains, gains and name == "fast")
        floor, _ = in_own_process(
            _floor, CHANNELS[backbone], size, *rounded, torch.get_num_threads()
        )
        ratio = floor["seconds_per_image"] / results[name]["seconds_per_image"]
        results[name] |= {"floor": floor, "floor_ratio": ratio}
    if JUDGE in results:
        ratio_to(results, JUDGE, "seconds_per_image")
        judge = results[JUDGE]["losses"]
        for result in results.values():
            result["loss_difference"] = largest_difference(result["losses"], judge)
    setting = {"backbone": backbone, "size": size, "batch_size": batch_size, "steps": steps}
    return {"setting": setting | {"threads": torch.get_num_threads()}, "results": results}


def _train(
    name: str,
    backbone: str,
    size: tuple[int, int],
    batch_size: int,
    steps: int,
    num_threads: int,
) -> dict[str, Any]:
    """One contestant's losses and seconds per image."""
    torch.set_num_threads(num_threads)
    generator = torch.Generator().manual_seed(0)
    channels = CHANNELS[backbone]
    levels = [
        torch.randn(batch_size, count, *((side // 4) >> i for side in size), generator=generator)
        for i, count in enumerate(channels)
    ]
    weight, bias = made_up_start(sum(channels), generator)
    batches = [list(range(batch_size))] * (steps + 1)
    times: list[float] = []
    arguments: dict[str, Any] = {"batches": batches, "bank_batches": batches[:1]}

    def tick(*_: Any) -> None:
        times.append(time.perf_counter())

    def literal() -> list[float]:
        run = reference.train(levels, weight=weight, bias=bias, on_step=tick, **arguments)
        return [row["loss"] for row in run.history]

    def ours() -> list[float]:
        settings = load_settings("official")
        settings.trainer.precision = name
        _, history = fit_pyramid(
            levels,
            preset=settings,
            initial_weight=weight,
            initial_bias=bias,
            observer=Observer(step=tick),
            **arguments,
        )
        return [row["train/loss"] for row in history]

    train: Callable[[], list[float]] = literal if name == JUDGE else ours
    losses = train()
    seconds = median(after - before for before, after in pairwise(times)) / batch_size
    return {"seconds_per_image": seconds, "losses": losses}


def made_up_start(dimension: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A descriptor's weight (d, d + 2) and bias (d,) to begin with, drawn."""
    weight = (torch.rand(dimension, dimension + 2, generator=generator) * 2 - 1) / dimension**0.5
    return weight, torch.zeros(dimension)


def _floor(
    channels: tuple[int, ...],
    size: tuple[int, int],
    rounded: bool,
    descriptor_rounded: bool,
    num_threads: int,
) -> dict[str, Any]:
    torch.set_num_threads(num_threads)
    return floor_of(channels, size, rounded=rounded, descriptor_rounded=descriptor_rounded)


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench train`: print the comparison, and write it with `--json`."""
    parser = new_parser("train", __doc__)
    parser.add_argument("--backbone", choices=CHANNELS, default="resnet18", help="feature widths")
    parser.add_argument("--height", type=int, default=224, help="of the images, in pixels")
    parser.add_argument("--width", type=int, default=224, help="of the images, in pixels")
    parser.add_argument("--steps", type=int, default=5, help="steps that are timed")
    parser.add_argument(
        "--without-reference", action="store_true", help="for sizes it has no memory for"
    )
    options = parser.parse_args(argv)
    report = run_bench_train(
        options.backbone,
        height=options.height,
        width=options.width,
        steps=options.steps,
        contestants=CONTESTANTS[1:] if options.without_reference else CONTESTANTS,
    )
    show(
        f"training step, {options.backbone} features at {options.height} x {options.width} px",
        report,
        {
            "ms per image": lambda result: f"{1000 * result['seconds_per_image']:.1f}",
            "times faster": lambda result: f"{result.get('ratio', float('nan')):.2f}",
            "peak MB": lambda result: f"{result['peak_bytes'] / 1e6:.0f}",
            "floor": lambda result: f"{100 * result.get('floor_ratio', float('nan')):.0f} %",
            "loss differs by": lambda result: f"{result.get('loss_difference', float('nan')):.1e}",
        },
        options.json,
    )
