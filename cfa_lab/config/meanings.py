"""Every key of the schema with its meaning, type and bounds, read from the schema itself."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin

from cfa_lab import vocabulary
from cfa_lab.config import Config


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a key of a configuration is."""

    key: str
    """As on the command line."""
    sentence: str
    """What it means, in the schema's words."""
    kind: str
    """The type in words; `group` for a group of keys."""
    allowed: str = ""
    """Bounds of a number, or all words; empty where there is nothing to say."""


@cache
def meanings() -> dict[str, Meaning]:
    """Key -> meaning, groups before their keys, in the order of the schema."""
    return {meaning.key: meaning for meaning in _of(Config, "")}


def _of(schema: Any, prefix: str) -> Iterator[Meaning]:
    sentences, words = _read(schema)
    for field in fields(schema):
        key = f"{prefix}{field.name}"
        if is_dataclass(field.type):
            yield Meaning(key=key, sentence=_one_line(field.type.__doc__), kind="group")
            yield from _of(field.type, f"{key}.")
        else:
            yield Meaning(
                key=key,
                sentence=sentences.get(field.name, ""),
                kind=kind_of(field.type),
                allowed=_allowed(key, words),
            )


def _allowed(key: str, words: dict[str, tuple[str, ...]]) -> str:
    if key in words:
        return ", ".join(words[key])
    bounds = vocabulary.BOUNDS.get(key)
    return "" if bounds is None else str(bounds)


def _read(schema: Any) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Field -> the text below it, and key -> the words that `__post_init__` allows."""
    sentences: dict[str, str] = {}
    words: dict[str, tuple[str, ...]] = {}
    for base in reversed(schema.__mro__[:-1]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for above, below in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name):
                text = _text(below)
                if text is not None:
                    sentences[above.target.id] = _one_line(text)
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Name(id="one_of"),
                    args=[ast.Constant(value=str(key)), _, ast.Name(id=name)],
                ):
                    words[key] = getattr(vocabulary, name)
                case _:
                    pass
    return sentences, words


def _text(node: ast.stmt) -> str | None:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text
        case _:
            return None


def kind_of(annotation: Any) -> str:
    """A type in words."""
    if isinstance(annotation, UnionType):
        (inner,) = [part for part in get_args(annotation) if part is not type(None)]
        return f"{kind_of(inner)}, or null"
    if get_origin(annotation) is list:
        return f"list of {kind_of(get_args(annotation)[0])}s"
    if get_origin(annotation) is dict:
        return "text by name"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}[annotation]


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
