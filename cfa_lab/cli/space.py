"""From a command line to what a search varies: Hydra's `choice`, `range`, `interval` and `tag`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from cfa_lab.cli.literal import as_typed
from cfa_lab.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

AVERAGED = ("category", "seed")
"""Keys that are not searched: a point is run with each of their values, and its mean counts. The
easiest category and the luckiest seed are no settings."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """What a search varies and what it does not."""

    fixed: list[str]
    """Overrides that every job has."""
    averaged: list[list[str]]
    """For each averaged key, one override for each of its values."""
    searched: "dict[str, BaseDistribution]"

    def jobs_of(self, point: Mapping[str, Any]) -> list[list[str]]:
        """The overrides of each job of a point: key -> value."""
        chosen = [f"{key}={as_text(value)}" for key, value in point.items()]
        return [[*self.fixed, *values, *chosen] for values in product(*self.averaged)]

    def corners(self) -> list[dict[str, Any]]:
        """The point of all first values and that of all last ones."""
        ends = {key: _ends(distribution) for key, distribution in self.searched.items()}
        return [{key: end[i] for key, end in ends.items()} for i in (0, 1)]


def read_space(arguments: Sequence[str], params: Mapping[str, str], loader: ConfigLoader) -> Space:
    """The space of `params` and of the arguments, which win over values of the same key.

    Raises UserError where nothing is searched or values have no order, Hydra's own exception for
    what is no override.
    """
    texts = as_typed([*(f"{key}={values}" for key, values in params.items())], commas="several")
    texts += as_typed(arguments, commas="several")
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(texts)
    last = {override.get_key_element(): override for override in overrides}
    fixed, averaged, searched = [], [], {}
    for key, override in last.items():
        if not override.is_sweep_override():
            fixed.append(override.input_line or f"{key}={override.get_value_element_as_str()}")
        elif key in AVERAGED and override.is_discrete_sweep():
            averaged.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            searched[key] = _distribution(override)
    if not searched:
        raise UserError(
            "a search needs something to vary, such as 'loss.K=range(1,9)', "
            "'optimizer.lr=tag(log,interval(1e-4,1e-2))' or memory_bank.gamma_c=choice(1,2,4); "
            f"{' and '.join(AVERAGED)} are averaged over"
        )
    return Space(fixed=fixed, averaged=averaged, searched=searched)


def as_text(value: Any) -> str:
    """A value as it stands on the command line; choices are texts already."""
    return value if isinstance(value, str) else repr(value)


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution

    value: Any = override.value()
    try:
        if isinstance(value, IntervalSweep):
            return _interval(value)
        if isinstance(value, RangeSweep) and not value.shuffle:
            return _range(value)
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except ValueError as error:
        raise UserError(f"cannot search {override.input_line}: {error}") from error


def _interval(value: IntervalSweep) -> "BaseDistribution":
    """Both ends belong to it; whole numbers if both ends are, as `int(interval(1,9))`."""
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high, log = value.start, value.end, "log" in value.tags
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low or 0.0), float(high or 0.0), log=log)


def _range(value: RangeSweep) -> "BaseDistribution":
    """As everywhere in Hydra, the end does not belong to it."""
    from optuna.distributions import FloatDistribution, IntDistribution

    start, stop, step = (Decimal(str(v)) for v in (value.start, value.stop, value.step))
    count = math.ceil((stop - start) / step) if step else 0
    if count < 1:
        raise ValueError("it has no values")
    low, high = sorted((start, start + (count - 1) * step))
    log, step = "log" in value.tags, abs(step)
    if all(isinstance(v, int) for v in (value.start, value.stop, value.step)):
        return IntDistribution(int(low), int(high), log=log, step=int(step))
    return FloatDistribution(float(low), float(high), log=log, step=float(step))


def _ends(distribution: Any) -> tuple[Any, Any]:
    choices = getattr(distribution, "choices", None)
    return (choices[0], choices[-1]) if choices else (distribution.low, distribution.high)
