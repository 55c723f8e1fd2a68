"""What a study varies: the configuration keys in which its runs differ, and names for settings."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cfa_lab.vocabulary import WITHOUT_PART

NOT_SETTINGS = (
    "category",
    "seed",
    "device",
    "resume",
    "dataset.name",
    "dataset.layout",
    "dataset.root",
    "features.cache",
    "features.folder",
    "features.max_gb",
    "features.memory_gb",
    "features.workers",
    "features.batch_size",
    "trainer.num_threads",
    "evaluation.cases",
    "evaluation.diagnostics",
    "evaluation.every",
    "evaluation.maps",
    "evaluation.resamples",
    "evaluation.spill_gb",
    "tracker",
)
"""Keys, or groups of keys, that say on what, where and how often, but not with which method."""

TELLING = ("preset", "backbone.name", "optimizer.name", "loss.K", "loss.J", "loss.alpha", "loss.r")
"""Keys that name a setting first; others only where these do not tell settings apart."""

OF_THE_DATA = ("dataset", "image")
"""Groups whose keys make no setting where each category has one value: they go with it."""

ONLY_SETTING = "all runs"
USUAL = "usual"
"""The setting in which every key has the value that most settings have."""
ABSENT = "(absent)"
"""Value of a key that an older run does not know."""
NO_PART = ""
"""Value of a key that has no part in a run's numbers under its optimizer; names leave it out."""
IDLE = "(no part)"
"""How it is shown where a value has to stand."""


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration with dotted keys; lists and empty groups become JSON text."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            is_leaf = value is None or isinstance(value, str | int | float)
            flat[f"{prefix}{key}"] = value if is_leaf else json.dumps(value)
    return flat


def is_setting(key: str) -> bool:
    """Whether a dotted key can make a setting."""
    return not any(key == other or key.startswith(f"{other}.") for other in NOT_SETTINGS)


def varying_keys(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fewest keys that tell all settings of these flat configurations apart, in their order.

    A key that only follows another one (`backbone.model` follows `backbone.name`) is left out, and
    so is what goes with the category or is the run's seed (`dataset.subset_seed=${seed}`).
    """
    given = {*with_category(configs), *_seeds(configs)}
    known = dict.fromkeys(
        key for config in configs for key in config if is_setting(key) and key not in given
    )
    ordered = [key for key in TELLING if key in known] + [
        key for key in known if key not in TELLING
    ]
    varying = [key for key in ordered if len({_token(c, key) for c in configs}) > 1]
    wanted = len({tuple(_token(config, key) for key in varying) for config in configs})
    chosen: list[str] = []
    groups = [()] * len(configs)
    for key in varying:
        finer = [(*group, _token(c, key)) for group, c in zip(groups, configs, strict=True)]
        if len(set(finer)) > len(set(groups)):
            chosen, groups = [*chosen, key], finer
        if len(set(groups)) == wanted:
            break
    return chosen


def is_of_the_data(key: str) -> bool:
    """Whether a dotted key, or a group, says something of the data."""
    return key.partition(".")[0] in OF_THE_DATA


def goes_with(places: Sequence[Any], values: Sequence[Any]) -> bool:
    """Whether there is one value at each place, so that it tells no two runs there apart."""
    return len(set(zip(places, values, strict=True))) == len(set(places))


def with_category(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys of data and images that differ between categories, but never within one.

    A study of two data sets may give each its number of training images and its image size; each
    category then has a value of its own, and no two settings differ in it.
    """
    places = [(config.get("dataset.name"), config.get("category")) for config in configs]
    known = dict.fromkeys(
        key for config in configs for key in config if is_setting(key) and is_of_the_data(key)
    )
    found = []
    for key in known:
        values = [_token(config, key) for config in configs]
        if len(set(values)) > 1 and goes_with(places, values):
            found.append(key)
    return found


def _seeds(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that are the run's seed in every run, of which there are several."""
    if len({config.get("seed") for config in configs}) < 2:
        return []
    known = dict.fromkeys(key for config in configs for key in config if key.endswith("_seed"))
    return [key for key in known if all(c.get(key) == c.get("seed") for c in configs)]


def has_value(config: Mapping[str, Any], text: str) -> bool:
    """Whether a flat configuration has what one would type: `loss.K=3`, `backbone=resnet18`."""
    key, _, value = text.partition("=")
    return any(name in config and show(config[name]) == value for name in (key, f"{key}.name"))


def usual_values(configs: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, str]:
    """What more than half of the settings have, by key: names are short without it."""
    settings = {tuple(_token(config, key) for key in keys) for config in configs}
    usual = {}
    for key, column in zip(keys, zip(*settings, strict=True), strict=True):
        values = [value for value in column if value != NO_PART]
        (value, count), *_ = Counter(values).most_common(1)
        if 2 * count > len(values) > 1:
            usual[key] = value
    return usual


def label(
    config: Mapping[str, Any], keys: Sequence[str], usual: Mapping[str, str] | None = None
) -> str:
    """A setting's name, as one would type it: `loss.K=3 loss.J=0`; usual values are left out.

    So are keys that have no part in its numbers.
    """
    tokens = {key: _token(config, key) for key in keys}
    named = [
        f"{key}={value}"
        for key, value in tokens.items()
        if value not in (NO_PART, (usual or {}).get(key))
    ]
    return " ".join(named) or (USUAL if keys else ONLY_SETTING)


def order(config: Mapping[str, Any], keys: Sequence[str]) -> tuple[Any, ...]:
    """What to sort settings by: numbers as numbers, before text, nothing first."""
    return tuple(_rank(value_of(config, key)) for key in keys)


def value_of(config: Mapping[str, Any], key: str) -> Any:
    """A key's value; None where the run does not know it or it has no part in its numbers."""
    return config.get(key) if has_part(config, key) else None


def shown_value(config: Mapping[str, Any], key: str) -> Any:
    """The same for people, who are told which of the two it is."""
    return config.get(key, ABSENT) if has_part(config, key) else IDLE


def show(value: Any) -> str:
    """A value as YAML has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _token(config: Mapping[str, Any], key: str) -> str:
    # a key that an older run does not know is a value of its own; 1 and 1.0 are the same setting
    if not has_part(config, key):
        return NO_PART
    return show(config[key]) if key in config else ABSENT


def has_part(config: Mapping[str, Any], key: str) -> bool:
    """Whether a key does anything under a run's optimizer."""
    idle = WITHOUT_PART.get(config.get("optimizer.name", ABSENT), ())
    return key not in idle or (key == "trainer.epochs" and config.get(key) == 0)


def _rank(value: Any) -> tuple[int, float, str]:
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, int | float):
        return 1, float(value), ""
    return 2, 0.0, str(value)
