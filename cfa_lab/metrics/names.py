"""Names of metrics: in files and on trackers, and as people read them."""

from decimal import Decimal

from cfa_lab.metrics.families import LIMITED, LIMITED_BY_KIND, OF_RANKING

OF_PIXELS = {"seg_f1": "SegF1", "peak_in_defect": "peak in defect"}
"""Metrics of pixels whose names do not say so."""


def at_limit(family: str, limit: float) -> str:
    """The name of a family's metric at a limit in (0, 1]: the limit's decimals, at least two.

    0.3 gives `aupro_30`, 0.305 `aupro_305`, 1 `aupro_100`. Any two limits have different names, and
    `limit_of` gives the limit back.
    """
    whole, _, decimals = f"{Decimal(repr(float(limit))):f}".partition(".")
    return f"{family}_{whole.lstrip('0')}{decimals.rstrip('0'):0<2}"


def limit_of(name: str) -> float:
    """The limit in a name that `at_limit` made."""
    return float(_limit_text(name.rpartition("_")[2]))


def of_and_heading(metric: str) -> tuple[str, str]:
    """What a metric is of, image or pixel, and what people call it.

    `test/image_ap` is AP of images, `test/aupro_30` AUPRO@0.3 of pixels.
    """
    name = metric.rpartition("/")[2]
    kind, _, short = name.partition("_")
    if name in OF_PIXELS:
        return "pixel", OF_PIXELS[name]
    if family := LIMITED.get(kind) or LIMITED_BY_KIND.get(kind):
        return "pixel", f"{family.heading}@{_limit_text(short)}"
    known = OF_RANKING.get(short)
    return kind, known.heading if known else short.replace("_", " ")


def metric_name(metric: str) -> str:
    """A metric as people write it: `test/pixel_auroc` is pixel AUROC, `test/aupro_30` AUPRO@0.3."""
    kind, heading = of_and_heading(metric)
    says_kind = metric.rpartition("/")[2].startswith(kind)
    return f"{kind} {heading}" if says_kind else heading


def _limit_text(digits: str) -> str:
    """A limit as people write it, of its digits in a name; ten tenths are the only `100`."""
    return "1" if digits == "100" else f"0.{digits.rstrip('0') or '0'}"
