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
from cfa_lab.errors import UserError

Commas = Literal["several", "alone", "ambiguous"]

OF_HYDRA = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
"""Keys of Hydra's own that are texts."""
ALSO_NULL = ("experiment",)
"""Groups that may be left out, of which Hydra takes no null on the command line."""

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


def from_python(arguments: Sequence[str]) -> list[str]:
    """Arguments as W&B's agent hands them on: Python's None is null where a key may have none.

    Raises UserError where it may not, and for dicts, as which nested parameters of a sweep arrive.
    """
    given = [_from_python(argument) for argument in arguments]
    left_out = {key for key in ALSO_NULL if _last(given, key) == "null"}
    return [one for one in given if one.partition("=")[0] not in left_out]


def _last(arguments: Sequence[str], key: str) -> str | None:
    """What the last argument says of a key; None where none does."""
    values = [value for name, _, value in (a.partition("=") for a in arguments) if name == key]
    return values[-1] if values else None


def _from_python(argument: str) -> str:
    key, equals, value = argument.partition("=")
    annotation = annotations().get(key)
    if not equals or key not in {*annotations(), *ALSO_NULL}:
        return argument
    if re.match(r"\{\s*['\"]?[\w.]+['\"]?\s*:", value) and get_origin(annotation) is not dict:
        nested = f"{key}.{next(iter(_inside(annotation)), 'key')}"
        raise UserError(
            f"{key} is the dict {value}; settings that lie in others are named with dots, in a "
            f"sweep's parameters too: {nested}"
        )
    if value != "None":
        return argument
    if key in ALSO_NULL or type(None) in get_args(annotation):
        return f"{key}=null"
    if annotation is str:
        return argument
    raise UserError(
        f"{key} is None, as which a sweep's null arrives, and {key} takes no null; give it a value"
    )


def _inside(annotation: Any) -> list[str]:
    return [field.name for field in fields(annotation)] if is_dataclass(annotation) else []


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
def annotations() -> dict[str, Any]:
    """The types of all keys, as they are typed on the command line."""
    return _annotations(Config, "")


def _annotations(schema: Any, prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields(schema):
        found[f"{prefix}{field.name}"] = field.type
        if is_dataclass(field.type):
            found |= _annotations(field.type, f"{prefix}{field.name}.")
    return found


@cache
def text_keys() -> dict[str, str]:
    """Keys whose values are texts: `text`, `optional` where null is allowed, or `list` of texts."""
    kinds = {key: _kind(annotation) for key, annotation in annotations().items()}
    texts = {key: kind for key, kind in kinds.items() if kind is not None}
    return dict.fromkeys(OF_HYDRA, "text") | texts


def _kind(annotation: Any) -> str | None:
    if annotation is str:
        return "text"
    if get_origin(annotation) is list:
        return "list" if get_args(annotation) == (str,) else None
    if isinstance(annotation, UnionType) and type(None) in get_args(annotation):
        (inner,) = [part for part in get_args(annotation) if part is not type(None)]
        return "list" if _kind(inner) == "list" else "optional" if inner is str else None
    return None
