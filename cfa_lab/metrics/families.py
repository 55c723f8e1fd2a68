"""The metrics there are: what people call each, and what computes it, of one and of many.

The values, the names in files and the headings of tables all come from here.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from cfa_lab.metrics.ranking import Ranking, auroc, average_precision, f1max
from cfa_lab.metrics.rankings import (
    Rankings,
    aupros,
    aurocs,
    average_precisions,
    f1maxima,
    spros,
)
from cfa_lab.metrics.regions import aupro
from cfa_lab.metrics.saturation import spro


class OfRanking(NamedTuple):
    """A metric of one ranking."""

    heading: str
    value: Callable[[Ranking], float]
    values: Callable[[Rankings], np.ndarray]
    """The same of every row (r,): what intervals are made of."""
    is_optimistic: bool = False
    """Whether it is the best of several values, and so high by chance."""


class UpToLimit(Protocol):
    """A metric of a pixel ranking up to a false-positive rate in (0, 1]."""

    def __call__(self, ranking: Ranking, /, *, limit: float) -> float: ...


class UpToLimitByKind(Protocol):
    """The same of the rankings of each kind of defect, of which there may be none."""

    def __call__(self, rankings: Sequence[Ranking], /, *, limit: float) -> float: ...


class RowsUpToLimit(Protocol):
    """A limited metric of every row (r,)."""

    def __call__(self, rankings: Rankings, /, *, limit: float) -> np.ndarray: ...


class RowsUpToLimitByKind(Protocol):
    """The same of each kind of defect."""

    def __call__(self, by_kind: Sequence[Rankings], /, *, limit: float) -> np.ndarray: ...


class Limited(NamedTuple):
    """A metric with a limit that is told in its name."""

    heading: str
    value: UpToLimit
    values: RowsUpToLimit


class LimitedByKind(NamedTuple):
    """The same for one that needs defects with saturation thresholds."""

    heading: str
    value: UpToLimitByKind
    values: RowsUpToLimitByKind


OF_RANKING = {
    "auroc": OfRanking("AUROC", auroc, aurocs),
    "ap": OfRanking("AP", average_precision, average_precisions),
    "f1max": OfRanking("F1max", lambda ranking: f1max(ranking).value, f1maxima, is_optimistic=True),
}
"""Of images as `image_<name>`, of pixels as `pixel_<name>`."""

LIMITED = {"aupro": Limited("AUPRO", aupro, aupros)}
"""Of pixels as `<name>_<limit>`, for each limit of `evaluation.aupro_limits`."""

LIMITED_BY_KIND = {"spro": LimitedByKind("sPRO", spro, spros)}
"""Likewise, where the data set has saturation thresholds (MVTec LOCO AD)."""
