"""Small models of every kind, as a run folder would give them, without training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from cfa_lab.config import load_settings
from cfa_lab.data.geometry import Geometry
from cfa_lab.data.images import LoadedImage
from cfa_lab.deploy.run_data import random_inputs
from cfa_lab.deploy.runtime_torch import TorchRuntime
from cfa_lab.features.extract import Extractor
from cfa_lab.features.networks import make_network
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.method.detector import Detector
from cfa_lab.method.scoring import Scoring
from cfa_lab.training.description import ModelDescription
from cfa_lab.training.parts import make_descriptor

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}
"""Of each format's file."""

RESNET = {"model": "resnet18", "layers": ["layer1", "layer2", "layer3"], "activation": "leaky"}


def make_runtime(
    architecture: dict[str, Any] = RESNET,
    *,
    geometry: Geometry | None = None,
    preset: str = "official",
    scoring: dict[str, Any] | None = None,
    num_entries: int = 100,
    offset: float = 0.0,
    weights: str = "random",
    **descriptor: Any,
) -> TorchRuntime:
    """A model with random weights whose bank is made of patches of one image of noise.

    `offset` is added to all of phi, in units of its standard deviation; it changes no distance.
    """
    settings = load_settings(preset)
    for name, value in descriptor.items():
        setattr(settings.descriptor, name, value)
    geometry = geometry or Geometry(resize="stretch", height=64, width=64)
    backbone = Backbone(
        Architecture(**architecture), make_network(architecture["model"], weights=weights)
    )
    half = preset == "lab"
    extractor = Extractor(
        backbone=backbone,
        geometry=geometry,
        device=torch.device("cpu"),
        dtype="half" if half else "float32",
        precision="exact",
        batch_size=2,
        workers=1,
    )
    module = make_descriptor(settings, backbone.channels, dimension_factor=1, seed=0)
    module.requires_grad_(False)
    (noise,) = random_inputs(geometry, 1)[0]
    phi = module([level.float() for level in extractor.pyramid([noise.pixels])])[0]
    module.bias += offset * phi.std()
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(0, len(phi), (num_entries,), generator=generator)
    spread = 0.3 * phi.std() * torch.randn(num_entries, phi.shape[1], generator=generator)
    bank = (phi + offset * phi.std())[chosen] + spread
    values = {"num_neighbours": 3, "weighting": settings.scoring.weighting} | (scoring or {})
    detector = Detector(module, bank, torch.tensor(0.1), Scoring(**values))
    description = ModelDescription(
        channels=list(module.channels),
        scoring={**vars(detector.scoring)},
        backbone=architecture,
        backbone_weights_hash=extractor.weights_hash,
        image=geometry,
        features={"dtype": extractor.dtype, "precision": "exact", "batch_size": 2},
        category="square",
        run_key="0123",
        colour_range=(0.0, 1.0),
    )
    return TorchRuntime(description, detector, extractor)


def photographs(geometry: Geometry, sizes: Sequence[tuple[int, int]]) -> list[list[LoadedImage]]:
    """Smooth made-up images of original sizes (height, width), as the network gets them."""
    from PIL import Image

    from cfa_lab.data.decoded import Decoded
    from cfa_lab.data.inputs import inputs_of

    rng = np.random.default_rng(1)
    small = [rng.integers(0, 256, (6, 7, 3), dtype=np.uint8) for _ in sizes]
    return [
        inputs_of(
            Decoded(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC)),
            geometry,
        )
        for one, (height, width) in zip(small, sizes, strict=True)
    ]
