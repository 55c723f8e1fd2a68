"""One run, told top to bottom: data, features, fit, evaluation, record, figures, tracker."""

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cfa_lab import checkpoint
from cfa_lab.config import Config
from cfa_lab.data.geometry import Geometry
from cfa_lab.data.layouts import read_samples
from cfa_lab.data.samples import SampleTable
from cfa_lab.errors import UserError
from cfa_lab.evaluation import Evaluation, evaluate, write_maps
from cfa_lab.features.extract import Extractor
from cfa_lab.features.networks import PACKAGED, make_network, weights_hash
from cfa_lab.fitting import fit_pyramid
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.method.detector import Detector
from cfa_lab.pictures import draw_figures
from cfa_lab.progress import TrainingProgress
from cfa_lab.results.record import environment, read_record, run_key, write_record
from cfa_lab.tracking import (
    HistoryFile,
    Outcome,
    Panel,
    Tracker,
    Trackers,
    WandbTracker,
    latest_run_id,
)
from cfa_lab.tracking.files import read_history, write_predictions
from cfa_lab.training import Fit, Observer, Row, seeded_batches

log = logging.getLogger(__name__)

SECONDS_BETWEEN_STATES = 5.0
"""Least time between two saved states; an interruption costs at most this and one epoch."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A complete run, for whoever called it."""

    folder: Path
    metrics: dict[str, float | None]
    oracle: dict[str, float | None]
    undefined: dict[str, str]
    figures: list[Path]


@dataclass
class Timing:
    """Seconds of each part of a run, under the names that records and trackers use."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[f"time/{part}_seconds"] = time.perf_counter() - began


def run(config: Config, folder: Path) -> RunResult:
    """Train and score one category and leave a complete run folder.

    What the user got wrong and can be known before training raises UserError and leaves no record;
    any later failure is recorded as `failed`, with the fit kept for `resume=<folder>`.
    """
    timing = Timing()
    device, num_threads = _device(config.device), _set_threads(config.trainer.num_threads)
    table = _samples(config)
    log.info(
        "%s: %d training images, %d test images", config.category, len(table.train), len(table.test)
    )
    extractor, backbone_hash = _extractor(config, device)
    with timing.measure("features"):
        levels = extractor.collect([table.absolute(sample.path) for sample in table.train])
    key = _run_key(config, table, backbone_hash, num_threads)
    recorded = {
        "run_key": key,
        "config": asdict(config),
        "environment": environment(str(device), num_threads),
    }
    first_step = _first_step(folder, key)
    trackers = Trackers(HistoryFile(folder, first_step=first_step), _tracker(config, folder))
    with trackers:
        try:
            with timing.measure("training"):
                detector = _fit(config, levels, folder, key, first_step, trackers)
            del levels
            with timing.measure("evaluation"):
                result = evaluate(
                    detector, extractor, table, aupro_limits=config.evaluation.aupro_limits
                )
            detector.cpu()
            checkpoint.save_model(
                folder,
                detector,
                architecture=extractor.backbone.architecture,
                geometry=extractor.geometry,
                features=asdict(config.features),
                weights_hash=backbone_hash,
            )
            predictions = _predictions(result)
            write_predictions(folder / "predictions.csv", predictions)
            if config.evaluation.maps:
                write_maps(folder / "maps", detector, result.images, extractor.geometry.input_size)
            with timing.measure("figures"):
                panels, figures = draw_figures(
                    folder / "figures",
                    detector,
                    result,
                    table,
                    input_size=extractor.geometry.input_size,
                    predictions=predictions,
                    history=read_history(folder / "history.csv"),
                    alpha=_visible_alpha(config),
                    num_each=config.evaluation.cases,
                )
            trackers.finish(_outcome(result, predictions, panels, timing))
        except BaseException as error:
            message = str(error) or type(error).__name__
            write_record(folder, status="failed", timing=timing.seconds, error=message, **recorded)
            raise
        checkpoint.remove_state(folder)
        write_record(
            folder,
            status="complete",
            metrics=result.metrics,
            oracle=result.oracle,
            undefined=result.undefined,
            protocol=_protocol(config, extractor, table, result),
            timing=timing.seconds,
            **recorded,
        )
    return RunResult(
        folder=folder,
        metrics=result.metrics,
        oracle=result.oracle,
        undefined=result.undefined,
        figures=figures,
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise UserError(
                f"device is {name!r} but {count} CUDA devices are there; use device=cpu"
            )
    return device


def _set_threads(num_threads: int | None) -> int:
    """Fix the number of CPU threads: launchers change it, and it changes the last bits."""
    if num_threads is None:
        affinity = getattr(os, "sched_getaffinity", None)
        num_threads = len(affinity(0)) if affinity else os.cpu_count() or 1
    torch.set_num_threads(num_threads)
    return num_threads


def _samples(config: Config) -> SampleTable:
    root = Path(config.dataset.root).expanduser().absolute()
    layout = config.dataset.layout
    if layout == "toy":
        from cfa_lab.data.toy import write_toy

        write_toy(root)
        layout = "mvtec"
    table = read_samples(layout, root, config.category)
    return table.limit_train(config.dataset.limit_train, config.dataset.subset_seed)


def _extractor(config: Config, device: torch.device) -> tuple[Extractor, str]:
    """The extractor that a configuration describes, and its backbone's weights hash."""
    values = config.backbone
    network = make_network(
        values.model, weights=values.weights, tag=values.tags.get(values.release)
    )
    mean, std = normalisation(values.model, network)
    architecture = Architecture(
        model=values.model,
        layers=values.layers,
        activation=values.activation,
        divide_by_channels=values.divide_by_channels,
        mean=mean,
        std=std,
    )
    extractor = Extractor(
        backbone=Backbone(architecture, network),
        geometry=Geometry(**asdict(config.image)),
        device=device,
        **asdict(config.features),
    )
    return extractor, weights_hash(network)


def normalisation(model: str, network: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a network's input is normalised by, for images in 0..1."""
    if model in PACKAGED:  # their authors use (x - 127) / 128 on 0..255
        return (127 / 255,) * 3, (128 / 255,) * 3
    settings = network.pretrained_cfg
    return tuple(settings["mean"]), tuple(settings["std"])


def _run_key(config: Config, table: SampleTable, backbone_hash: str, num_threads: int) -> str:
    """The hash of everything that decides the numbers: not the device's name, paths or tracker."""
    values = asdict(config)
    for key in ("device", "resume", "preset", "tracker", "dataset"):
        del values[key]
    del values["backbone"]["weights"], values["backbone"]["name"], values["evaluation"]["maps"]
    del values["features"]["workers"], values["evaluation"]["cases"]
    return run_key(
        {
            "config": values,
            "train": {s.path: _content_hash(table.absolute(s.path)) for s in table.train},
            "test": {s.path: table.absolute(s.path).stat().st_size for s in table.test},
            "weights": backbone_hash,
            "num_threads": num_threads,
        }
    )


def _content_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _first_step(folder: Path, key: str) -> int:
    """The step at which a folder's unfinished run goes on; 0 for a new one."""
    position = checkpoint.state_position(folder)
    if position and position["run_key"] != key:
        raise UserError(
            f"{folder} was started with other settings, images or weights "
            f"(run key {position['run_key']}, now {key}); start a new run without resume="
        )
    return int(position.get("next_step", 0))


def _tracker(config: Config, folder: Path) -> Tracker:
    values = config.tracker
    if values.name == "none":
        return Tracker()
    return WandbTracker(
        folder,
        config=asdict(config),
        project=values.project,
        entity=values.entity,
        group=values.group,
        job_type="train",
        name=f"{config.backbone.name}-{config.category}-s{config.seed}",
        tags=values.tags,
        mode=values.mode,
        images=values.images,
        resume_id=latest_run_id(folder),
    )


def _fit(
    config: Config,
    levels: Sequence[Tensor],
    folder: Path,
    key: str,
    first_step: int,
    tracker: Tracker,
) -> Detector:
    trainer = config.trainer
    epoch = seeded_batches(
        len(levels[0]), trainer.batch_size, drop_last=trainer.drop_last, seed=config.seed, epoch=0
    )
    saved = time.monotonic()

    def save(fit: Fit) -> None:
        nonlocal saved
        if time.monotonic() - saved >= SECONDS_BETWEEN_STATES or fit.next_epoch == trainer.epochs:
            checkpoint.save_state(folder, fit, run_key=key)
            saved = time.monotonic()

    with TrainingProgress(trainer.epochs * len(epoch), first_step=first_step) as progress:

        def step(row: Row) -> None:
            tracker.log_step(row)
            progress.step(row)

        detector, _ = fit_pyramid(
            levels,
            pooled=True,
            preset=config,
            seed=config.seed,
            device=str(levels[0].device),
            dimension_factor=config.backbone.dimension_factor,
            observer=Observer(
                step=step,
                epoch=save,
                restore=lambda fit: checkpoint.restore_state(folder, fit, run_key=key),
            ),
        )
    return detector


def _visible_alpha(config: Config) -> float | None:
    """alpha, where repulsion can only begin once r passes its square root."""
    loss = config.loss
    return loss.alpha if loss.squared and loss.alpha_sign == "minus" and loss.J else None


def _predictions(result: Evaluation) -> list[dict[str, Any]]:
    return [
        {
            "path": image.sample.path,
            "label": image.sample.label,
            "defect": image.sample.defect,
            "score": image.score,
            "decision": None,
        }
        for image in result.images
    ]


def _outcome(
    result: Evaluation, predictions: list[dict[str, Any]], panels: list[Panel], timing: Timing
) -> Outcome:
    return Outcome(
        metrics=result.metrics | result.oracle,
        predictions=predictions,
        panels=panels,
        curves=result.curves,
        timing=timing.seconds,
    )


def _protocol(
    config: Config, extractor: Extractor, table: SampleTable, result: Evaluation
) -> dict[str, Any]:
    """How the numbers were obtained."""
    scored = config.scoring
    return {
        "epoch_selection": "last",
        "scores": "raw",
        "resolution": "original, within the scored window",
        "masks": "non-zero is defect; cut to the scored window, never resized",
        "region_connectivity": 8,
        "input_size": list(extractor.geometry.input_size),
        "smoothing": f"Gaussian, sigma {scored.sigma:g} input pixels, border {scored.border}",
        "image_score": scored.reducer
        + (f" (highest {scored.top_fraction:g})" if scored.reducer == "top_mean" else ""),
        "num_train": len(table.train),
        "num_test_normal": sum(sample.label == 0 for sample in table.test),
        "num_test_defect": sum(sample.label == 1 for sample in table.test),
        **result.outside,
    }


def finished(folder: Path) -> bool:
    """Whether a run folder holds a complete run."""
    record = read_record(folder)
    return record is not None and record["status"] == "complete"
