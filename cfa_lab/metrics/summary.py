"""The metrics under the names that tables, `metrics.json` and trackers use."""

from collections.abc import Sequence

from cfa_lab.metrics import ranking as ranks
from cfa_lab.metrics.names import at_limit
from cfa_lab.metrics.ranking import Ranking
from cfa_lab.metrics.regions import aupro
from cfa_lab.metrics.saturation import spro
from cfa_lab.vocabulary import each_within


def checked_limits(limits: Sequence[float]) -> tuple[float, ...]:
    """The limits as floats; each has to lie in (0, 1] and stand once."""
    each_within("evaluation.aupro_limits", limits)
    return tuple(float(limit) for limit in limits)


def metric_names(aupro_limits: Sequence[float], *, with_spro: bool = False) -> tuple[str, ...]:
    """All names, image metrics first, in the order in which tables print them."""
    by_kind = () if with_spro else None
    return tuple(metric_values(None, None, aupro_limits=aupro_limits, by_kind=by_kind))


def metric_values(
    image: Ranking | None,
    pixel: Ranking | None,
    *,
    aupro_limits: Sequence[float],
    by_kind: Sequence[Ranking] | None = None,
) -> dict[str, float]:
    """Every metric of an image ranking and a pixel ranking; NaN where a ranking is None.

    sPRO, at the limits of AUPRO, is among them where the rankings of each kind of defect are given.
    """
    values: dict[str, float] = {}
    for prefix, ranking in (("image", image), ("pixel", pixel)):
        values[f"{prefix}_auroc"] = ranks.auroc(ranking) if ranking else float("nan")
        values[f"{prefix}_ap"] = ranks.average_precision(ranking) if ranking else float("nan")
        values[f"{prefix}_f1max"] = ranks.f1max(ranking).value if ranking else float("nan")
    for limit in aupro_limits:
        values[at_limit("aupro", limit)] = aupro(pixel, limit=limit) if pixel else float("nan")
    for limit in aupro_limits if by_kind is not None else ():
        values[at_limit("spro", limit)] = spro(by_kind or (), limit=limit)
    return values
