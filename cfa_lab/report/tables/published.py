"""Published figures of CFA, to stand beside ours: best epoch on the test set, one seed, percent.

From Table 4 of the paper (Lee, Lee and Song, IEEE Access, 2022) and the authors' README, for
Wide ResNet50-2 on MVTec AD. `crop` is the paper's CFA (shorter side 256, crop 224), `whole` the
same at 256 without crop. Carpet's image AUROC is the README's: the 97.3 in Table 4 contradicts the
averages printed below it.
"""

from collections.abc import Mapping
from typing import Any

LABEL = "best test epoch, one seed"

METRICS = ("test/image_auroc", "test/pixel_auroc")

_CROP = {
    "bottle": (100.0, 98.6),
    "cable": (99.8, 98.7),
    "capsule": (97.3, 98.9),
    "carpet": (99.5, 98.7),
    "grid": (99.2, 97.8),
    "hazelnut": (100.0, 98.6),
    "leather": (100.0, 99.1),
    "metal_nut": (100.0, 98.8),
    "pill": (97.9, 98.6),
    "screw": (97.3, 99.0),
    "tile": (99.4, 95.8),
    "toothbrush": (100.0, 98.8),
    "transistor": (100.0, 98.3),
    "wood": (99.7, 94.8),
    "zipper": (99.6, 98.6),
}
_WHOLE = {
    "bottle": (100.0, 98.9),
    "cable": (99.8, 99.0),
    "capsule": (99.2, 99.1),
    "carpet": (99.4, 99.0),
    "grid": (99.9, 98.1),
    "hazelnut": (100.0, 98.9),
    "leather": (100.0, 99.3),
    "metal_nut": (100.0, 99.1),
    "pill": (97.9, 98.8),
    "screw": (93.5, 98.8),
    "tile": (100.0, 96.3),
    "toothbrush": (97.2, 99.1),
    "transistor": (100.0, 98.4),
    "wood": (99.2, 95.0),
    "zipper": (99.5, 99.0),
}
FIGURES = {"crop": _CROP, "whole": _WHOLE}

_SAME = {
    "dataset.name": "mvtec",
    "dataset.limit_train": None,
    "backbone.name": "wide_resnet50",
    "loss.K": 3,
    "loss.J": 3,
    "loss.alpha": 0.1,
    "descriptor.gamma_d": 1,
    "memory_bank.gamma_c": 1,
    "trainer.epochs": 30,
}
"""What a run must have in common with the published ones."""


def published_for(config: Mapping[str, Any]) -> str | None:
    """Which figures a run with these dotted keys may stand beside: `crop`, `whole` or None.

    Other readings of the same settings (preset, precision) do match: they are what one compares.
    """
    if any(config.get(key) != value for key, value in _SAME.items()):
        return None
    resize, crop = config.get("image.resize"), config.get("image.crop")
    if resize == "shorter_side" and config.get("image.size") == 256 and crop == 224:
        return "crop"
    size = (config.get("image.height"), config.get("image.width"))
    is_whole = resize == "stretch" or (resize == "shorter_side" and config.get("image.size") == 256)
    return "whole" if is_whole and crop in (None, 256) and size == (256, 256) else None
