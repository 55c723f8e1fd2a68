"""cfa_lab: train, score and compare CFA on industrial images.

Shape legend, used in every docstring: b images in a batch, n images in all (n patches where one
image is meant), c channels, h x w a map, H x W an image, q query patches, m memory-bank entries,
d dimension of a patch feature, k neighbours.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cfa_lab.deploy.detector import TrainedDetector, load
    from cfa_lab.method.detector import Detector
    from cfa_lab.progress import show_progress
    from cfa_lab.training.fit import fit_pyramid

__version__ = "0.2.0"
__all__ = [
    "Detector",
    "TrainedDetector",
    "__version__",
    "fit_pyramid",
    "load",
    "show_progress",
]


_HOMES = {
    "Detector": "method.detector",
    "TrainedDetector": "deploy.detector",
    "fit_pyramid": "training.fit",
    "load": "deploy.detector",
    "show_progress": "progress",
}


def __dir__() -> list[str]:
    """The library's names, before they are imported, too."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import the library names on first use, so that the command line starts without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
