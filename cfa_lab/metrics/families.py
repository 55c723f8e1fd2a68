"""The metrics there are: what people call each, and the function that computes it.

The values, the names in files and the headings of tables all come from here.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from cfa_lab.metrics.ranking import Ranking, auroc, average_precision, f1max
from cfa_lab.metrics.regions import aupro
from cfa_lab.metrics.saturation import spro


class OfRanking(NamedTuple):
    """A metric of one ranking."""

    heading: str
    value: Callable[[Ranking], float]


class UpToLimit(Protocol):
    """A metric of a pixel ranking up to a false-positive rate in (0, 1]."""

    def __call__(self, ranking: Ranking, /, *, limit: float) -> float: ...


class UpToLimitByKind(Protocol):
    """The same of the rankings of each kind of defect, of which there may be none."""

    def __call__(self, rankings: Sequence[Ranking], /, *, limit: float) -> float: ...


class Limited(NamedTuple):
    """A metric with a limit that is told in its name."""

    heading: str
    value: UpToLimit


class LimitedByKind(NamedTuple):
    """The same for one that needs defects with saturation thresholds."""

    heading: str
    value: UpToLimitByKind


OF_RANKING = {
    "auroc": OfRanking("AUROC", auroc),
    "ap": OfRanking("AP", average_precision),
    "f1max": OfRanking("F1max", lambda ranking: f1max(ranking).value),
}
"""Of images as `image_<name>`, of pixels as `pixel_<name>`."""

LIMITED = {"aupro": Limited("AUPRO", aupro)}
"""Of pixels as `<name>_<limit>`, for each limit of `evaluation.aupro_limits`."""

LIMITED_BY_KIND = {"spro": LimitedByKind("sPRO", spro)}
"""Likewise, where the data set has saturation thresholds (MVTec LOCO AD)."""
