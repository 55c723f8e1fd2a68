"""What a run is made of, each part timed on one device; and how far that device is from the CPU."""

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfa_lab import reference
from cfa_lab.bench.clock import now
from cfa_lab.bench.device_setting import BATCH_SIZE, Setting
from cfa_lab.bench.fit import fit_seconds
from cfa_lab.bench.floor import floor_of
from cfa_lab.bench.report import largest_difference
from cfa_lab.bench.train import made_up_start
from cfa_lab.config import Settings, load_settings
from cfa_lab.features.extract import Extractor
from cfa_lab.method.detector import Detector
from cfa_lab.method.precision import multiplies_faster_in_bf16
from cfa_lab.training.fit import fit_pyramid
from cfa_lab.training.state import Observer
from cfa_lab.vocabulary import PRECISIONS, Precision


def extraction(setting: Setting, files: Sequence[Path]) -> dict[str, Any]:
    """Images a second, by precision and batch size: decoded ones, and from files on disk."""
    found: dict[str, Any] = {"decoded": {}, "files": {}}
    pixels = setting.pixels(max(*setting.batch_sizes, min(setting.num_train, 64)))
    for precision in PRECISIONS:
        for batch_size in setting.batch_sizes:
            extractor = setting.extractor(batch_size, precision)
            batches = [pixels[i : i + batch_size] for i in range(0, len(pixels), batch_size)]
            seconds = setting.timed(lambda e=extractor, b=batches: [e.pyramid(x) for x in b])
            found["decoded"][f"{precision}, batch {batch_size}"] = len(pixels) / seconds
    extractor = setting.extractor(max(setting.batch_sizes))
    found["files"]["exact"] = len(files) / setting.timed(lambda: extractor.collect(files))
    return found


def solved_fit(setting: Setting, levels: list[Tensor]) -> dict[str, Any]:
    """Seconds of a fit of `lab` in one pass, from the features to the detector, by part."""
    parts = fit_seconds(levels, load_settings("lab"), setting.where)
    return {"seconds": sum(parts.values()), "parts": parts}


def training_step(setting: Setting) -> dict[str, Any]:
    """Milliseconds an image of a step by AdamW: the literal reference and ours, same features."""
    steps = setting.repeats + 1  # the first is not counted
    batches = [list(range(BATCH_SIZE))] * steps
    maps = setting.maps(BATCH_SIZE)
    weight, bias = _start(maps)
    found: dict[str, dict[str, Any]] = {}
    for name in ("reference", *PRECISIONS):
        times: list[float] = []

        def tick(*_: Any, times: list[float] = times) -> None:
            times.append(now(setting.where))

        if name == "reference":
            run = reference.train(
                maps,
                batches=batches,
                bank_batches=batches[:1],
                weight=weight.to(setting.where),
                bias=bias.to(setting.where),
                on_step=tick,
            )
            losses = [row["loss"] for row in run.history]
        else:
            losses = _losses(maps, name, batches, setting.device, tick)
        per_image = median(after - before for before, after in pairwise(times)) / BATCH_SIZE
        found[name] = {"milliseconds": 1000 * per_image, "losses": losses}
    judge = found["reference"]
    for result in found.values():
        result["times_faster"] = judge["milliseconds"] / result["milliseconds"]
        result["loss_difference"] = largest_difference(result["losses"], judge["losses"])
    return found


def floor(setting: Setting, levels: list[Tensor]) -> dict[str, Any]:
    """The least a training step could take: its products and bytes, at the device's own rates."""
    return floor_of(
        [level.shape[1] for level in levels],
        (setting.size, setting.size),
        rounded=multiplies_faster_in_bf16(setting.where),
        device=setting.where,
    )


def prediction(setting: Setting, levels: list[Tensor]) -> dict[str, Any]:
    """Milliseconds an image from decoded images to maps and scores, by batch size."""
    detector = _detector(levels, setting.device)
    found = {}
    for batch_size in (1, *setting.batch_sizes):
        extractor, pixels = setting.extractor(batch_size), setting.pixels(batch_size)

        def score(extractor: Extractor = extractor, pixels: list[np.ndarray] = pixels) -> None:
            levels = [level.float() for level in extractor.pyramid(pixels)]
            scores = detector.patch_scores(levels)
            maps = detector.scoring.maps(scores, (setting.size, setting.size))
            detector.scoring.image_scores(maps).cpu()

        found[f"batch {batch_size}"] = 1000 * setting.timed(score) / batch_size
    return found


def sorting(setting: Setting) -> dict[str, Any]:
    """Seconds to order the pixel scores of all test images, what exact pixel metrics cost most.

    On the host and on the device, copies both ways included: where it is faster, metrics belong.
    """
    count = setting.num_test * setting.size**2
    scores = torch.randn(count, generator=torch.Generator().manual_seed(0)).numpy()
    host = setting.timed(lambda: np.argsort(scores, kind="stable"))
    there = setting.timed(
        lambda: torch.from_numpy(scores).to(setting.device).argsort(stable=True).cpu().numpy(),
    )
    return {"pixels": count, "host": host, "device": there}


def agreement(setting: Setting, num_images: int = 8) -> dict[str, Any]:
    """How far features, losses, both fits' entries and score maps are from those of the CPU.

    Features differ relative to their largest value; the rest begins from the CPU's features.
    """
    levels = setting.levels(num_images, device="cpu")
    there = setting.levels(num_images)
    maps = setting.maps(BATCH_SIZE)
    batches = [list(range(BATCH_SIZE))] * 5
    losses = {
        device: _losses(maps, "exact", batches, device, lambda *_: None)
        for device in ("cpu", setting.device)
    }
    detector, other = _detector(levels, "cpu"), _detector(levels, setting.device)
    moved = copy.deepcopy(detector).to(setting.device)
    size = (setting.size, setting.size)

    def scored(detector: Detector, device: str) -> np.ndarray:
        scores = detector.patch_scores([level.float().to(device) for level in levels])
        return detector.scoring.maps(scores, size).cpu().numpy()

    judge = scored(detector, "cpu")
    return {
        "features": max(
            float((a - b.cpu()).abs().max() / a.abs().max())
            for a, b in zip(levels, there, strict=True)
        ),
        "losses": largest_difference(losses[setting.device], losses["cpu"]),
        "maps of the same detector": relative(scored(moved, setting.device), judge),
        "maps of a fit there": relative(scored(other, setting.device), judge),
        "scores of a fit there": relative(
            scored(other, setting.device).max((1, 2)), judge.max((1, 2))
        ),
    }


def relative(values: np.ndarray, judge: np.ndarray) -> float:
    """The largest difference, relative to the judge's largest value."""
    return float(np.abs(values - judge).max() / np.abs(judge).max())


def _start(maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    return made_up_start(sum(level.shape[1] for level in maps), torch.Generator().manual_seed(0))


def _losses(
    maps: list[Tensor],
    precision: Precision,
    batches: list[list[int]],
    device: str,
    tick: Callable[..., None],
) -> list[float]:
    """The losses of steps of the official preset on the backbone's own maps."""
    settings: Settings = load_settings("official")
    settings.trainer.precision = precision
    weight, bias = _start(maps)
    _, history = fit_pyramid(
        [level.to(device) for level in maps],
        preset=settings,
        initial_weight=weight,
        initial_bias=bias,
        batches=batches,
        bank_batches=batches[:1],
        device=device,
        observer=Observer(step=tick),
    )
    return [row["train/loss"] for row in history]


def _detector(levels: list[Tensor], device: str) -> Detector:
    """`lab`, solved on a device."""
    there = [level.to(device) for level in levels]
    detector, _ = fit_pyramid(there, pooled=True, preset="lab", device=device)
    return detector
