"""Checks that the schema's classes share; each raises UserError naming key, value and bounds."""

import math

from cfa_lab.errors import UserError


def at_least(key: str, value: float | None, bound: float, *, above: bool = False) -> None:
    if value is None:
        return
    if not (math.isfinite(value) and (value > bound if above else value >= bound)):
        raise UserError(f"{key} is {value}; allowed: {'above' if above else 'at least'} {bound:g}")
