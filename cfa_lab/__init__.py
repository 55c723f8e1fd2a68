"""cfa_lab: train, score and compare CFA on industrial images.

Shape legend, used in every docstring: b images in a batch, n images in all (n patches where one
image is meant), c channels, h x w a map, H x W an image, q query patches, m memory-bank entries,
d dimension of a patch feature, k neighbours.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfa_lab.method.detector import Detector
    from cfa_lab.training.fit import fit_pyramid

__version__ = "0.2.0"
__all__ = ["Detector", "__version__", "fit_pyramid"]


def __getattr__(name: str) -> Any:
    """Import the library names on first use, so that the command line starts without torch."""
    if name == "fit_pyramid":
        from cfa_lab.training.fit import fit_pyramid

        return fit_pyramid
    if name == "Detector":
        from cfa_lab.method.detector import Detector

        return Detector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
