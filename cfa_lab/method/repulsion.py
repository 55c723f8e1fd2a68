"""From which radius on anything can be repelled; plain numbers, so that a report needs no torch."""

import math


def sqrt_alpha(*, J: int, alpha: float, alpha_sign: str) -> float | None:
    """What r has to pass before repulsion, max(0, r^2 - D - alpha), can act; D is never negative.

    None where no radius is too small: J = 0 repels nothing, and a plus makes alpha a margin.
    """
    return math.sqrt(alpha) if J and alpha_sign == "minus" else None
