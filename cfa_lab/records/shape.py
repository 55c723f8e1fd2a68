"""Whether a complete record is one that can be counted: every part of the kind that readers use."""

import re
from collections.abc import Callable, Mapping
from typing import Any

MOST = 1e300
"""Larger numbers are nobody's metric or time, and overflow in the first sum."""

DEEPEST = 20

_UNWRITABLE = re.compile(r"[\x00\ud800-\udfff]")
"""Half characters and the byte that ends texts elsewhere."""

Check = Callable[[Any], bool]


def what_is_wrong(record: Mapping[str, Any]) -> str | None:
    """The part of a complete record that is not what it should be; None where all of them are."""
    for name, (needed, check) in PARTS.items():
        if (value := record.get(name)) is None and not needed:
            continue
        if not check(value):
            return f"its {name} cannot be what a run wrote"
    config = record["config"]
    if not (is_text(config.get("category")) and is_whole(config.get("seed"))):
        return "it lacks category or seed"
    return None if is_plain(dict(record)) else "it holds what is no number or no text"


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether this holds numbers of sensible size and texts that can be written, not too deep."""
    if isinstance(value, dict):
        parts = [*value, *value.values()]
        return depth < DEEPEST and all(is_plain(part, depth + 1) for part in parts)
    if isinstance(value, list):
        return depth < DEEPEST and all(is_plain(part, depth + 1) for part in value)
    if isinstance(value, str):
        return value.isprintable() or not _UNWRITABLE.search(value)
    return value is None or isinstance(value, bool) or is_number(value)


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < MOST


def is_number(value: Any) -> bool:
    """Whether this is a finite number of a sensible size; NaN compares as neither."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -MOST < value < MOST


def is_interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def _mapping(check: Check = lambda value: True) -> Check:
    """A mapping of names to what passes a check, or to None."""
    return lambda found: (
        isinstance(found, dict) and all(value is None or check(value) for value in found.values())
    )


PARTS: dict[str, tuple[bool, Check]] = {
    "config": (True, _mapping()),
    "metrics": (True, _mapping(is_number)),
    "oracle": (False, _mapping(is_number)),
    "timing": (False, _mapping(is_number)),
    "intervals": (False, _mapping(is_interval)),
    "undefined": (False, _mapping(is_text)),
    "protocol": (False, _mapping()),
    "environment": (False, _mapping()),
    "run_key": (False, is_text),
    "reused_from": (False, is_text),
}
"""Name -> whether it has to be there, and what it has to be."""
