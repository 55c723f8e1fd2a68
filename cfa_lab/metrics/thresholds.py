"""Decision thresholds from scores of normal images only: no anomaly is looked at.

Three rules, from the one that assumes least to the one that sees furthest: a quantile cannot lie
beyond the largest score seen; mean + k sd assumes a bell; an extreme-value fit extrapolates from
the upper tail alone.
"""

import math

import numpy as np

from cfa_lab.errors import UserError
from cfa_lab.vocabulary import THRESHOLD_RULES, ThresholdRule, no_other, one_of, within

TAIL_SHARE = 0.1  # of the scores the extreme-value fit looks at
MIN_TAIL = 10  # excesses to look at where a tenth is fewer
MIN_FOR_SHAPE = 40  # fewer excesses do not tell the shape: an exponential tail errs less then
MAX_TAIL = 5000  # more excesses are thinned evenly: the fit takes seconds otherwise (pixels)
SHAPE_RANGE = (
    -0.5,
    0.5,
)  # likelihood estimates are regular above -0.5; the variance is finite below 0.5


def fit_threshold(
    scores: np.ndarray, rule: str = "quantile", *, quantile: float = 0.995, num_sd: float = 3.0
) -> float:
    """A threshold from held-out normal scores (n,) by one of `THRESHOLD_RULES`.

    `quantile`: the share of normal scores meant to stay below, for "quantile" and "extreme_value";
    `num_sd`: k of mean + k sd.
    """
    word: ThresholdRule = one_of("evaluation.threshold", rule, THRESHOLD_RULES)
    if word == "quantile":
        return quantile_threshold(scores, quantile=quantile)
    if word == "mean_sd":
        return mean_sd_threshold(scores, num_sd=num_sd)
    if word == "extreme_value":
        return extreme_value_threshold(scores, quantile=quantile)
    no_other(word)


def quantile_threshold(scores: np.ndarray, *, quantile: float) -> float:
    """The score below which this share of the normal scores lies, linear between neighbours."""
    within("evaluation.quantile", quantile)
    return float(np.quantile(_checked(scores), quantile))


def mean_sd_threshold(scores: np.ndarray, *, num_sd: float) -> float:
    """Mean + `num_sd` standard deviations of the normal scores (dividing by n)."""
    within("evaluation.num_sd", num_sd)
    scores = _checked(scores)
    return float(scores.mean() + num_sd * scores.std())


def extreme_value_threshold(scores: np.ndarray, *, quantile: float) -> float:
    """The quantile of a generalised Pareto tail fitted to the largest scores; may exceed them all.

    Peaks over threshold: the excesses over a high score u follow P(x > u + y) = z (1 + c y /
    s)^(-1/c), with z the share of scores above u. The shape c is kept in `SHAPE_RANGE`; with few
    excesses c = 0, an exponential tail. Inside the range of the body the plain quantile is
    returned.
    """
    within("evaluation.quantile", quantile)
    ordered = np.sort(_checked(scores))
    num_tail = max(int(TAIL_SHARE * ordered.size), min(MIN_TAIL, ordered.size // 2))
    beyond = 1.0 - quantile
    start = ordered[ordered.size - num_tail - 1]
    excesses = ordered[ordered.size - num_tail :] - start
    excesses = excesses[excesses > 0]
    tail_share = excesses.size / ordered.size
    if beyond >= tail_share:
        return quantile_threshold(ordered, quantile=quantile)
    from scipy.stats import genpareto

    shape, scale = _fit_tail(excesses)
    return float(start + genpareto.isf(beyond / tail_share, shape, scale=scale))


def images_needed(quantile: float) -> int:
    """How few images carry a quantile: those of which one is expected beyond it."""
    return math.ceil(round(1 / (1 - quantile), 6))


def carried_quantile(num_images: int) -> float:
    """The highest quantile that so many images carry, to three places, rounded down."""
    return math.floor(round(1000 * (1 - 1 / num_images), 6)) / 1000


def too_few_images(num_images: int, rule: str, quantile: float) -> str | None:
    """Why the image threshold of so few normal images says little; None where they are enough."""
    needed = images_needed(quantile)
    if rule == "mean_sd" or num_images >= needed:
        return None
    plural = "s" if num_images > 1 else ""
    follows = (
        f"of new normal images about 1 in {num_images + 1} will lie above their highest score"
        if rule == "quantile"
        else "what lies beyond them is a guess"
    )
    return (
        f"{num_images} normal image{plural} cannot carry the quantile {quantile:g}, beyond which 1 "
        f"in {needed} lies: {follows}"
    )


def _fit_tail(excesses: np.ndarray) -> tuple[float, float]:
    """Shape and scale of the generalised Pareto distribution of positive excesses."""
    unit = excesses.mean()  # fitted in units of the mean: the threshold then scales with the scores
    if excesses.size < MIN_FOR_SHAPE:
        return 0.0, float(unit)
    if excesses.size > MAX_TAIL:
        excesses = excesses[np.linspace(0, excesses.size - 1, MAX_TAIL).astype(int)]
    from scipy.stats import genpareto

    with np.errstate(all="ignore"):  # the search steps outside the support and comes back
        shape, _, scale = genpareto.fit(excesses / unit, 0.1, floc=0.0, scale=1.0)
        if not SHAPE_RANGE[0] <= shape <= SHAPE_RANGE[1]:
            shape = min(max(shape, SHAPE_RANGE[0]), SHAPE_RANGE[1])
            _, _, scale = genpareto.fit(excesses / unit, f0=shape, floc=0.0, scale=1.0)
    return float(shape), float(scale * unit)


def _checked(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64).ravel()
    if scores.size == 0 or not np.isfinite(scores).all():
        wrong = int(np.count_nonzero(~np.isfinite(scores)))
        raise UserError(
            f"a threshold needs finite scores of normal images, got {scores.size} scores, {wrong} "
            "of them not finite; hold out some normal images"
        )
    return scores
