"""Networks that are not timm's: code of any package that can be imported, by its dotted path."""

import hashlib
import importlib
import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cfa_lab.errors import UserError

if TYPE_CHECKING:
    from torch import nn

PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
"""`package.module:function`."""


def is_own(model: str) -> bool:
    """Whether a model's name is the path of a function rather than a name of timm's."""
    return PATH.fullmatch(model) is not None


def call_own(model: str, *, pretrained: bool) -> "nn.Module":
    """What `function(pretrained=...)` returns; torch's generator begins alike every time.

    Imports and runs code. Raises UserError, one line, where the function cannot be had, fails or
    returns no module.
    """
    import torch
    from torch import nn

    function = _function(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            network = function(pretrained=pretrained)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"backbone.model={model} fails when called with pretrained={pretrained} "
                f"({_told(error)})"
            ) from error
    if not isinstance(network, nn.Module):
        raise UserError(
            f"backbone.model={model} returns a {type(network).__name__}; "
            "it must return a torch.nn.Module"
        )
    return network


def own_normalisation(
    model: str, network: Any, usual: tuple[Sequence[float], Sequence[float]]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The network's `mean` and `std`, for images in 0..1, or else those of its `pretrained_cfg`.

    `usual` where it has neither. Raises UserError for what is no three numbers.
    """
    known = getattr(network, "pretrained_cfg", None)
    known = known if isinstance(known, dict) else {}
    mean, std = (
        _three(model, name, getattr(network, name, known.get(name, other)))
        for name, other in zip(("mean", "std"), usual, strict=True)
    )
    if min(std) <= 0:
        raise UserError(f"the attribute std of backbone.model={model} is {std}; must be above 0")
    return mean, std


@cache
def code_hash(model: str) -> str | None:
    """A hash of the code that makes a network; None for one of timm's.

    Of every Python file in the package (or of the one module) that the path begins with: a changed
    forward pass leaves the weights as they are. What that code imports from elsewhere has no part.
    """
    if not is_own(model):
        return None
    top = _module(model.partition(":")[0].partition(".")[0], model)
    folders = [Path(folder) for folder in getattr(top, "__path__", ())]
    files = {file.relative_to(folder): file for folder in folders for file in folder.rglob("*.py")}
    if not folders and top.__file__:
        files = {Path(top.__name__): Path(top.__file__)}
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        digest.update(f"{name.as_posix()} ".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _function(model: str) -> Callable[..., Any]:
    name, _, attribute = model.partition(":")
    function = getattr(_module(name, model), attribute, None)
    if function is None:
        raise UserError(f"backbone.model={model}: module {name} has no {attribute!r}")
    if not callable(function):
        raise UserError(
            f"backbone.model={model} is a {type(function).__name__}; it must be a function, or a "
            "class, that takes pretrained=True or False"
        )
    return function


def _module(name: str, model: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever the code may raise
        raise UserError(
            f"backbone.model={model}: module {name} cannot be imported ({_told(error)}); install "
            "its package, or start python -m cfa_lab in the folder that holds it"
        ) from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _three(model: str, name: str, value: Any) -> tuple[float, ...]:
    try:
        numbers = tuple(float(number) for number in value)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise UserError(
            f"the attribute {name} of backbone.model={model} is {str(value)[:80]!r}; "
            "it must be three numbers, for images in 0 to 1"
        )
    return numbers
