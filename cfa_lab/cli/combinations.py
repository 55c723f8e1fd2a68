"""From what a study varies to its combinations: values of single keys, and cases, which are
overrides that belong together."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice, product
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from cfa_lab.cli.literal import as_typed
from cfa_lab.errors import UserError

CASES = "hydra.sweeper.cases"

MOST_JOBS = 20_000
"""A study has no more combinations; composing them alone takes minutes."""

_WORD = re.compile(r"""(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^\s'"])+""")
"""An override in a case: spaces end it, except in quotes."""

Choices = dict[str, list[str]]
"""Key -> one override for each of its values."""


def combine(
    arguments: Sequence[str], params: Mapping[str, str], cases: Any, loader: ConfigLoader
) -> list[list[str]]:
    """Every combination of the values of `params`, of one case of each axis, and of the arguments.

    `cases` maps the name of an axis to a list of cases. The arguments, as typed, win over values of
    the same key elsewhere. Raises UserError for cases of another form, values without end, more
    than `MOST_JOBS` combinations, and a key that would be set twice; Hydra's own exception for what
    is no override.
    """
    typed = _choices(arguments, loader)
    swept = _choices([f"{key}={values}" for key, values in params.items()], loader)
    axes = _read_axes(cases, loader)
    _refuse_doubled(axes, typed, swept)
    singles = [[[value] for value in values] for values in (swept | typed).values()]
    cases_of = [[_without(case, typed) for case in case_list] for case_list in axes.values()]
    sizes = [len(values) for values in singles]
    sizes += [sum(math.prod(map(len, c.values())) for c in case_list) for case_list in cases_of]
    _refuse_endless(sizes)
    together = [
        [list(c) for case in case_list for c in product(*case.values())] for case_list in cases_of
    ]
    return [list(chain(*parts)) for parts in product(*singles, *together)]


def _choices(overrides: Sequence[str], loader: ConfigLoader) -> Choices:
    """The values of each key; the last of equal keys counts."""
    choices: Choices = {}
    typed = as_typed(overrides, commas="several")
    for override in OverridesParser.create(config_loader=loader).parse_overrides(typed):
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [override.input_line or f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            values = _bounded(override.sweep_string_iterator(), override.input_line)
            choices[key] = [f"{key}={value}" for value in values]
        else:
            raise UserError(
                f"{override.input_line} has no end of values; name them, or search with "
                "hydra/sweeper=search"
            )
    return choices


def _bounded(values: Iterable[str], told: str | None) -> list[str]:
    """The values of one key; ranges are written in a few characters and may have no end to speak
    of."""
    few = list(islice(values, MOST_JOBS + 1))
    if len(few) > MOST_JOBS:
        raise UserError(f"{told} has more than {MOST_JOBS} values; give fewer, or search")
    return few


def _refuse_endless(sizes: Sequence[int]) -> None:
    if (total := math.prod(sizes)) > MOST_JOBS:
        factors = " x ".join(str(size) for size in sizes if size > 1)
        raise UserError(
            f"these settings make {factors} = {total} jobs; at most {MOST_JOBS} are one study, so "
            "give fewer values, or search with hydra/sweeper=search"
        )


def _read_axes(cases: Any, loader: ConfigLoader) -> dict[str, list[Choices]]:
    if OmegaConf.is_config(cases):
        cases = OmegaConf.to_container(cases, resolve=True)
    if not isinstance(cases or {}, Mapping):
        raise UserError(f"{CASES} is {cases!r}; allowed: a name for each list of cases")
    axes = {}
    for axis, given in (cases or {}).items():
        if not isinstance(given, list) or not given:
            raise UserError(
                f"{CASES}.{axis} is {given!r}; allowed: a list of cases such as "
                "['loss.J=0', 'loss.J=3 loss.alpha=0.2']"
            )
        axes[axis] = [_read_case(f"{CASES}.{axis}", case, loader) for case in given]
    return axes


def _read_case(place: str, case: Any, loader: ConfigLoader) -> Choices:
    words = _WORD.findall(case) if isinstance(case, str) else [str(case)]
    for word in words:
        if not re.match(r"[A-Za-z_]", word) or "=" not in word or word.startswith("hydra"):
            raise UserError(
                f"{place} holds {case!r}, where {word!r} is no setting of a run; allowed: "
                "key=value, several with spaces between"
            )
    choices = _choices(words, loader)
    if len(choices) < len(words):
        keys = [word.partition("=")[0] for word in words]
        doubled = next(key for key in keys if keys.count(key) > 1)
        raise UserError(f"{place}: {case!r} sets {doubled} twice; once is allowed")
    return choices


def _refuse_doubled(axes: Mapping[str, Sequence[Choices]], typed: Choices, swept: Choices) -> None:
    """What is typed wins; otherwise nothing says which of two values of a key should."""
    owner = dict.fromkeys(swept, "hydra.sweeper.params")
    for axis, cases in axes.items():
        for key in dict.fromkeys(key for case in cases for key in case):
            other = owner.setdefault(key, f"{CASES}.{axis}")
            if other != f"{CASES}.{axis}" and key not in typed:
                raise UserError(
                    f"{key} is set by {other} and by {CASES}.{axis}; leave it to one of them"
                )


def _without(case: Choices, typed: Choices) -> Choices:
    return {key: values for key, values in case.items() if key not in typed}
