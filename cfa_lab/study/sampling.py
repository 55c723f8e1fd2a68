"""Optuna's samplers by name, seeded so that a search started again draws the same points."""

import hashlib
import warnings
from collections.abc import Mapping
from typing import Any

import optuna

from cfa_lab.errors import UserError

SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
    "gp": "GPSampler",
    "nsgaii": "NSGAIISampler",
    "cmaes": "CmaEsSampler",
}
ONE_SEED = ("qmc",)
"""Samplers whose points are one sequence; the others are seeded anew for each point."""


def make_sampler(given: Mapping[str, Any], num_points: int) -> optuna.samplers.BaseSampler:
    """The sampler of the next point, which depends on how many there are and what they gave.

    So a search that was started again draws what it would have drawn, and no point twice.
    """
    options = {key: value for key, value in given.items() if key != "name"}
    name, seed = given.get("name"), options.pop("seed", 0)
    if name not in SAMPLERS:
        raise UserError(f"hydra.sweeper.sampler.name is {name!r}; allowed: {', '.join(SAMPLERS)}")
    if name == "tpe":  # others' unfinished points count as bad ones: nobody repeats them
        options = {"constant_liar": True, **options}
    text = f"{seed}" if name in ONE_SEED else f"{seed}/{num_points}"
    digest = hashlib.sha256(text.encode()).digest()
    options["seed"] = int.from_bytes(digest[:4], "big") >> 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return getattr(optuna.samplers, SAMPLERS[name])(**options)
    except (ImportError, TypeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(f"hydra.sweeper.sampler: {name} cannot be used: {first}") from error
