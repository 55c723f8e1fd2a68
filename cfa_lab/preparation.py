"""What stands before training: device, samples, extractor, and the key of the run."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from cfa_lab.config import Config
from cfa_lab.data.geometry import Geometry
from cfa_lab.data.layouts import read_samples
from cfa_lab.data.samples import SampleTable
from cfa_lab.errors import UserError
from cfa_lab.features.extract import Extractor
from cfa_lab.features.identity import image_hash
from cfa_lab.features.networks import PACKAGED, make_network
from cfa_lab.features.store import FeatureStore
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.results.record import run_key


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """A run about to begin."""

    table: SampleTable
    extractor: Extractor
    backbone_hash: str
    device: torch.device
    num_threads: int
    run_key: str


def prepare(config: Config) -> Preparation:
    """Check everything that can be known before an image is decoded; raises UserError.

    Fixes the number of threads of this process.
    """
    device, num_threads = choose_device(config.device), set_threads(config.trainer.num_threads)
    table = read_table(config)
    extractor, backbone_hash = make_extractor(config, device)
    return Preparation(
        table=table,
        extractor=extractor,
        backbone_hash=backbone_hash,
        device=device,
        num_threads=num_threads,
        run_key=key_of(config, table, backbone_hash, num_threads),
    )


def choose_device(name: str) -> torch.device:
    """The device of a name; `auto` is CUDA where there is one."""
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


def set_threads(num_threads: int | None) -> int:
    """Fix the number of CPU threads: launchers change it, and it changes the last bits."""
    if num_threads is None:
        affinity = getattr(os, "sched_getaffinity", None)
        num_threads = len(affinity(0)) if affinity else os.cpu_count() or 1
    torch.set_num_threads(num_threads)
    return num_threads


def read_table(config: Config) -> SampleTable:
    """The samples that a configuration chooses; makes the toy set where it is asked for."""
    root = Path(config.dataset.root).expanduser().absolute()
    layout = config.dataset.layout
    if layout == "toy":
        from cfa_lab.data.toy import write_toy

        write_toy(root)
        layout = "mvtec"
    values = config.dataset
    table = read_samples(layout, root, config.category)
    table = table.limit_train(values.limit_train, values.subset_seed)
    return table.hold_out(values.validation_fraction, values.subset_seed)


def make_extractor(config: Config, device: torch.device) -> tuple[Extractor, str]:
    """The extractor that a configuration describes, and its backbone's weights hash."""
    values, kept = config.backbone, config.features
    network = make_network(
        values.model, weights=values.weights, tag=values.tags.get(values.release)
    )
    mean, std = _normalisation(values.model, network)
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
        store=FeatureStore(Path(kept.folder), kept.max_gb) if kept.cache else None,
        memory_gb=kept.memory_gb,
        **kept.extraction,
    )
    return extractor, extractor.weights_hash


def _normalisation(model: str, network: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a network's input is normalised by, for images in 0..1."""
    if model in PACKAGED:  # their authors use (x - 127) / 128 on 0..255
        return (127 / 255,) * 3, (128 / 255,) * 3
    settings = network.pretrained_cfg
    return tuple(settings["mean"]), tuple(settings["std"])


def key_of(config: Config, table: SampleTable, backbone_hash: str, num_threads: int) -> str:
    """The hash of everything that decides the numbers: not the device's name, paths or tracker."""
    values = asdict(config)
    for key in ("device", "resume", "preset", "tracker", "dataset"):
        del values[key]
    del values["backbone"]["weights"], values["backbone"]["name"], values["evaluation"]["maps"]
    values["features"] = config.features.extraction
    del values["features"]["workers"]
    del values["evaluation"]["cases"], values["evaluation"]["spill_gb"]
    return run_key(
        {
            "config": values,
            "train": {s.path: image_hash(table.absolute(s.path)) for s in table.train},
            "validation": {s.path: image_hash(table.absolute(s.path)) for s in table.validation},
            "test": {s.path: table.absolute(s.path).stat().st_size for s in table.test},
            "weights": backbone_hash,
            "num_threads": num_threads,
        }
    )
