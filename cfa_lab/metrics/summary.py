"""The metrics under the names that tables, `metrics.json` and trackers use."""

from collections.abc import Sequence

from cfa_lab.errors import UserError
from cfa_lab.metrics import ranking as ranks
from cfa_lab.metrics.ranking import Ranking
from cfa_lab.metrics.regions import aupro


def aupro_name(limit: float) -> str:
    """Name of AUPRO up to a false-positive rate: its decimals, at least two (0.3 -> `aupro_30`)."""
    whole, _, decimals = f"{limit:.12f}".rstrip("0").partition(".")
    return f"aupro_{whole.lstrip('0')}{decimals:0<2}"


def checked_limits(limits: Sequence[float]) -> tuple[float, ...]:
    """The limits as floats; each has to lie in (0, 1]."""
    for limit in limits:
        if not 0.0 < limit <= 1.0:
            raise UserError(
                f"AUPRO limit {limit} is no false-positive rate in (0, 1]; 0.3 and 0.05 are usual"
            )
    return tuple(float(limit) for limit in limits)


def metric_names(aupro_limits: Sequence[float]) -> tuple[str, ...]:
    """All names, image metrics first, in the order in which tables print them."""
    return tuple(metric_values(None, None, aupro_limits=aupro_limits))


def metric_values(
    image: Ranking | None, pixel: Ranking | None, *, aupro_limits: Sequence[float]
) -> dict[str, float]:
    """Every metric of an image ranking and a pixel ranking; NaN where a ranking is None."""
    values: dict[str, float] = {}
    for prefix, ranking in (("image", image), ("pixel", pixel)):
        values[f"{prefix}_auroc"] = ranks.auroc(ranking) if ranking else float("nan")
        values[f"{prefix}_ap"] = ranks.average_precision(ranking) if ranking else float("nan")
        values[f"{prefix}_f1max"] = ranks.f1max(ranking).value if ranking else float("nan")
    for limit in aupro_limits:
        values[aupro_name(limit)] = aupro(pixel, limit=limit) if pixel else float("nan")
    return values
