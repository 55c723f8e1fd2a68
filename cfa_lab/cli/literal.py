"""Texts as typed: what Hydra would read as a number, a word or syntax is put in quotes."""

import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from cfa_lab.cli.arguments import quoted
from cfa_lab.config import Config

Commas = Literal["several", "alone", "ambiguous"]

OF_HYDRA = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
"""Keys of Hydra's own that are texts."""

_LEFT_ALONE = re.compile(
    r"""\s*(['"]|$)|.*\$\{|(choice|range|interval|glob|sort|shuffle|tag|str|extend_list)\("""
)
"""Values with quotes or nothing at all, with interpolations, and Hydra's functions."""
_PART = re.compile(
    r"""(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\([^()]*\)|\[[^\[\]]*\]|[^,'"(\[])+"""
)
"""One of several values with commas between."""


def as_typed(arguments: Sequence[str], *, commas: Commas) -> list[str]:
    """Arguments whose values of text keys mean what was typed: `category=2024_01_15`, `root=lot=3`.

    A comma separates `several` values in a multirun; for a configuration `alone` it is part of the
    text; in a single run it is `ambiguous`, and Hydra says so.
    """
    return [_as_typed(argument, commas) for argument in arguments]


def literal(text: str) -> str:
    """A text as a value on the command line, in quotes where it would become something else."""
    if _LEFT_ALONE.match(text):
        return text if text.strip() else quoted(text)
    try:
        value = OverridesParser.create().parse_override(f"key={text}").value()
    except HydraException:
        return quoted(text)
    return text if type(value) in (str, int, float) and str(value) == text else quoted(text)


def _as_typed(argument: str, commas: Commas) -> str:
    key, equals, value = argument.partition("=")
    kind = text_keys().get(key.lstrip("+"))
    if not equals or kind is None or _LEFT_ALONE.match(value):
        return argument
    if kind == "list":
        inside = re.fullmatch(r"\[([^\[\]]*)\]", value)
        return f"{key}=[{_each(inside[1], '')}]" if inside else argument
    if commas == "alone":
        return f"{key}={_one(value, kind)}"
    return f"{key}={_each(value, kind)}" if commas == "several" or "," not in value else argument


def _each(values: str, kind: str) -> str:
    parts = _PART.findall(values)
    if ",".join(parts) != values:
        return _one(values, kind)
    return ",".join(_one(part.strip(), kind) for part in parts)


def _one(value: str, kind: str) -> str:
    return value if kind == "optional" and value == "null" else literal(value)


@cache
def text_keys() -> dict[str, str]:
    """Keys whose values are texts: `text`, `optional` where null is allowed, or `list` of texts."""
    return dict.fromkeys(OF_HYDRA, "text") | _text_keys(Config, "")


def _text_keys(schema: Any, prefix: str) -> dict[str, str]:
    found = {}
    for field in fields(schema):
        name = f"{prefix}{field.name}"
        if is_dataclass(field.type):
            found |= _text_keys(field.type, f"{name}.")
        elif (kind := _kind(field.type)) is not None:
            found[name] = kind
    return found


def _kind(annotation: Any) -> str | None:
    if annotation is str:
        return "text"
    if get_origin(annotation) is list:
        return "list" if get_args(annotation) == (str,) else None
    if isinstance(annotation, UnionType) and type(None) in get_args(annotation):
        (inner,) = [part for part in get_args(annotation) if part is not type(None)]
        return "list" if _kind(inner) == "list" else "optional" if inner is str else None
    return None
