"""What stands before training: device, samples, extractor, and the key of the run."""

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from cfa_lab.config import Config
from cfa_lab.data.depth_found import ONLY_BYTES, FoundDepth
from cfa_lab.data.samples import SampleTable
from cfa_lab.errors import UserError
from cfa_lab.features.extract import Extractor
from cfa_lab.features.networks import make_network, normalisation, usual_layers, weights_hash
from cfa_lab.features.store import FeatureStore
from cfa_lab.features.weights_hashes import WantedNetwork
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.progress import phase
from cfa_lab.run.keys import count_threads, fit_key_of, run_key_of
from cfa_lab.run.tables import depth_of, geometry_of, read_table
from cfa_lab.run.weights import keep_hash, wanted_network
from cfa_lab.vocabulary import ACTIVATIONS, PADDINGS, one_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """A run about to begin."""

    table: SampleTable
    extractor: Extractor
    depth: FoundDepth
    """What counts as white, and how that was found."""
    backbone_hash: str
    device: torch.device
    num_threads: int
    fit_key: str
    """Hash of all that decides the fit; what a saved state belongs to."""
    run_key: str
    """Hash of all that decides the run's numbers."""


def prepare(config: Config) -> Preparation:
    """Check everything that can be known before training; raises UserError.

    Fixes the number of threads of this process.
    """
    device, num_threads = choose_device(config.device), set_threads(config.trainer.num_threads)
    with phase("reading"):
        table = read_table(config)
        depth = depth_of(config, table)
    with phase("backbone"):
        extractor, backbone_hash = make_extractor(config, device, depth)
    fit_key = fit_key_of(config, table, extractor.geometry, backbone_hash, num_threads)
    return Preparation(
        table=table,
        extractor=extractor,
        depth=depth,
        backbone_hash=backbone_hash,
        device=device,
        num_threads=num_threads,
        fit_key=fit_key,
        run_key=run_key_of(config, table, fit_key),
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
    num_threads = count_threads(num_threads)
    torch.set_num_threads(num_threads)
    return num_threads


def make_extractor(
    config: Config, device: torch.device, depth: FoundDepth = ONLY_BYTES
) -> tuple[Extractor, str]:
    """The extractor that a configuration describes, and its backbone's weights hash."""
    kept = config.features
    backbone, backbone_hash = make_backbone(config)
    extractor = Extractor(
        backbone=backbone,
        geometry=geometry_of(config, depth),
        device=device,
        store=FeatureStore(Path(kept.folder), kept.max_gb) if kept.cache else None,
        memory_gb=kept.memory_gb,
        **kept.extraction,
    )
    return extractor, backbone_hash


def make_backbone(config: Config) -> tuple[Backbone, str]:
    """The frozen network that a configuration describes and its weights hash.

    The last few are kept for further runs of this process: nothing ever changes them.
    """
    wanted = wanted_network(config)
    file = Path(wanted.weights)
    backbone, found = _backbone(wanted, file.stat().st_mtime_ns if file.is_file() else None)
    settings = getattr(backbone.network, "pretrained_cfg", None)
    keep_hash(config, found, hub=settings.get("hf_hub_id") if isinstance(settings, dict) else None)
    return backbone, found


@lru_cache(maxsize=4)
def _backbone(wanted: WantedNetwork, changed: int | None) -> tuple[Backbone, str]:
    """`changed` is there to tell a weights file from the one that stood there before."""
    model, layers, size = wanted.model, wanted.layers, wanted.size
    network = make_network(
        model,
        weights=wanted.weights,
        tag=wanted.tag,
        trust_code=True,
        size=size,
        norm=wanted.norm,
    )
    mean, std = normalisation(model, network)
    architecture = Architecture(
        model=model,
        layers=usual_layers(model, network) if layers is None else layers,
        activation=one_of("backbone.activation", wanted.activation, ACTIVATIONS),
        divide_by_channels=wanted.divide_by_channels,
        padding=one_of("backbone.padding", wanted.padding, PADDINGS),
        norm=wanted.norm,
        mean=mean,
        std=std,
    )
    backbone = Backbone(architecture, network, size=size)
    if backbone.lacks_activation:
        log.warning(
            "backbone.activation=leaky finds no activation to replace in %s; its maps are taken "
            "as they are",
            model,
        )
    return backbone, weights_hash(backbone.network)
