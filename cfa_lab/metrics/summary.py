"""The metrics under the names that tables, `metrics.json` and trackers use."""

from collections.abc import Sequence

from cfa_lab.metrics.families import LIMITED, LIMITED_BY_KIND, OF_RANKING
from cfa_lab.metrics.names import at_limit
from cfa_lab.metrics.ranking import Ranking
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
    undefined = float("nan")
    for prefix, ranking in (("image", image), ("pixel", pixel)):
        for name, metric in OF_RANKING.items():
            values[f"{prefix}_{name}"] = metric.value(ranking) if ranking else undefined
    for name, metric in LIMITED.items():
        for limit in aupro_limits:
            value = metric.value(pixel, limit=limit) if pixel else undefined
            values[at_limit(name, limit)] = value
    for name, metric in LIMITED_BY_KIND.items() if by_kind is not None else ():
        for limit in aupro_limits:
            values[at_limit(name, limit)] = metric.value(by_kind or (), limit=limit)
    return values
