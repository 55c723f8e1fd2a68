"""Records of runs that are damaged in every part."""

import copy
from collections.abc import Iterator
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, 7, -1, 1e308, 10**400, float("nan"), float("inf")),
    *("", "x", "<b>&", "=1+1", "\ud800", "\x00", [], [1, 2], ["a", None], {}, {"a": {"b": []}}),
)


def damaged(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The record without each of its parts, and with something odd in its place."""
    for part in record:
        yield {name: value for name, value in record.items() if name != part}
        for odd in ODD:
            yield record | {part: odd}
        if not isinstance(record[part], dict):
            continue
        for name in [*record[part], "other"]:
            for odd in ODD:
                changed = copy.deepcopy(record)
                changed[part][name] = odd
                yield changed
