"""A run folder's model at work in torch: the same bits as when the run was measured."""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from cfa_lab.data.geometry import Placement, Size
from cfa_lab.data.images import LoadedImage
from cfa_lab.deploy.runtime import Scored, refuse_broken
from cfa_lab.errors import UserError
from cfa_lab.evaluation.maps import score_of_parts
from cfa_lab.features.extract import Extractor
from cfa_lab.features.networks import make_network, weights_hash
from cfa_lab.features.own import code_hash
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.method.detector import Detector
from cfa_lab.method.neighbours import Neighbours
from cfa_lab.method.pyramid import patch_grid
from cfa_lab.training.description import ModelDescription
from cfa_lab.training.model_files import detector_of_tensors, load_description, load_tensors

BACKBONE = "backbone."
"""Before the names of the backbone's tensors, where a model's file holds them, too."""

See = Callable[[Placement, Size, Neighbours], None]
"""Told of each input: where it lies, its patch grid, and the neighbours of its patches."""

log = logging.getLogger(__name__)


class TorchRuntime:
    """Extractor and detector of a run folder; threads may share it, one scores at a time."""

    def __init__(self, description: ModelDescription, detector: Detector, extractor: Extractor):
        self.description = description
        self.detector, self.extractor = detector, extractor
        self._lock = Lock()

    @property
    def batch_size(self) -> int:
        return self.extractor.batch_size

    @property
    def arithmetic(self) -> str:
        device = self.extractor.device
        features = "bf16 products" if self.extractor.rounds else "float32"
        return f"torch {torch.__version__} on {device}, backbone {features}, scores float32"

    def score(self, images: Sequence[Sequence[LoadedImage]]) -> list[Scored]:
        return self.score_seen(images, None)

    @torch.no_grad()
    def score_seen(self, images: Sequence[Sequence[LoadedImage]], see: See | None) -> list[Scored]:
        """Score images likewise, and tell `see` of their inputs, in order."""
        with self._lock:
            scores = self._patch_scores([one for inputs in images for one in inputs], see)
            found: list[Scored] = []
            for inputs in images:
                parts = [next(scores) for _ in inputs]
                whole = score_of_parts(self.detector, self.extractor.geometry, parts)
                window_map = whole.window_map.float().cpu().numpy()
                found.append(Scored(whole.score, window_map, whole.placement))
        for scored in found:
            refuse_broken(scored)
        return found

    @torch.no_grad()
    def describe(self, loaded: Sequence[LoadedImage]) -> list[tuple[Placement, Size, Tensor]]:
        """Where each input lies, its patch grid and its patches' adapted features phi (n, d)."""
        with self._lock:
            return [
                (placement, patch_grid(pyramid), self.detector.descriptor(pyramid)[0])
                for placement, pyramid in self._pyramids(loaded)
            ]

    def _patch_scores(
        self, loaded: Sequence[LoadedImage], see: See | None
    ) -> Iterator[tuple[Placement, Tensor]]:
        for placement, pyramid in self._pyramids(loaded):
            told = see and partial(see, placement, patch_grid(pyramid))
            yield placement, self.detector.patch_scores(pyramid, told)

    def _pyramids(self, loaded: Sequence[LoadedImage]) -> Iterator[tuple[Placement, list[Tensor]]]:
        for start in range(0, len(loaded), self.batch_size):
            batch = self.extractor.features_of(loaded[start : start + self.batch_size])
            for i, placement in enumerate(batch.placements):
                yield placement, [level[i : i + 1].float() for level in batch.pyramid]


def load_run(
    folder: Path,
    *,
    device: str = "cpu",
    batch_size: int | None = None,
    backbone_weights: str | None = None,
    trust_code: bool = False,
) -> TorchRuntime:
    """The model of a run folder, or of any folder with its two files.

    The backbone's weights come from the model's own file where they are inside, else from where the
    run had them, or from `backbone_weights`; raises UserError where they are others than the run's.
    A network that is not timm's is made only where `trust_code` says so.
    """
    description, tensors = load_description(folder), load_tensors(folder)
    detector = detector_of_tensors(tensors, description, where=folder)
    own = {k.removeprefix(BACKBONE): v for k, v in tensors.items() if k.startswith(BACKBONE)}
    extractor = Extractor(
        backbone=_backbone(description, own, backbone_weights, folder, trust_code),
        geometry=description.image,
        device=torch.device(device),
        **_extraction(description, batch_size),
    )
    if list(extractor.backbone.channels) != list(detector.descriptor.channels):
        raise UserError(
            f"{folder}: the descriptor reads levels of {list(detector.descriptor.channels)} "
            f"channels, the backbone gives {extractor.backbone.channels}; train it again"
        )
    return TorchRuntime(description, detector.to(device), extractor)


def _extraction(description: ModelDescription, batch_size: int | None) -> dict[str, Any]:
    chosen = {"workers": 1, **description.features}
    return chosen if batch_size is None else chosen | {"batch_size": batch_size}


def _backbone(
    description: ModelDescription,
    own: dict[str, Tensor],
    weights: str | None,
    folder: Path,
    trust_code: bool,
) -> Backbone:
    architecture = Architecture(**description.backbone)
    known = description.backbone_weights
    source = weights or ("random" if own else known.get("source", "pretrained"))
    size = description.image.input_size
    network = make_network(
        architecture.model,
        weights=source,
        tag=known.get("tag"),
        trust_code=trust_code,
        size=size,
        norm=architecture.norm,
    )
    if known.get("code") != code_hash(architecture.model):
        log.warning(
            "the code of %s has changed since the run, and scores may have", architecture.model
        )
    backbone = Backbone(architecture, network, size=size)
    if own and weights is None:
        _fill(backbone.network, own, folder)
    found, wanted = weights_hash(backbone.network), description.backbone_weights_hash
    if found != wanted:
        raise UserError(
            f"{folder} was trained on weights {wanted} of {architecture.model}, {source} gives "
            f"{found}; say where those are with --backbone-weights FILE"
        )
    return backbone


def _fill(network: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{folder} holds a backbone that does not fit ({reason})") from error
