"""The metrics under the names that tables, `metrics.json` and trackers use."""

from collections.abc import Sequence

from cfa_lab.errors import UserError
from cfa_lab.metrics import ranking as ranks
from cfa_lab.metrics.ranking import Ranking
from cfa_lab.metrics.regions import aupro
from cfa_lab.metrics.saturation import spro


def aupro_name(limit: float, *, saturated: bool = False) -> str:
    """Name of AUPRO up to a false-positive rate: its decimals, at least two (0.3 -> `aupro_30`).

    `saturated`: that of sPRO (`spro_30`).
    """
    whole, _, decimals = f"{limit:.12f}".rstrip("0").partition(".")
    return f"{'spro' if saturated else 'aupro'}_{whole.lstrip('0')}{decimals:0<2}"


def checked_limits(limits: Sequence[float]) -> tuple[float, ...]:
    """The limits as floats; each has to lie in (0, 1]."""
    for limit in limits:
        if not 0.0 < limit <= 1.0:
            raise UserError(
                f"AUPRO limit {limit} is no false-positive rate in (0, 1]; 0.3 and 0.05 are usual"
            )
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
        values[aupro_name(limit)] = aupro(pixel, limit=limit) if pixel else float("nan")
    for limit in aupro_limits if by_kind is not None else ():
        values[aupro_name(limit, saturated=True)] = spro(by_kind or (), limit=limit)
    return values
