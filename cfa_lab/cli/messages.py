"""How the program ends for an error: one line for a user's, a traceback for ours."""

import errno
import re
import shlex
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from cfa_lab.cli.nearby import unknown_key
from cfa_lab.cli.schema import dotted_keys
from cfa_lab.config.meanings import meanings
from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.folders import is_complete
from cfa_lab.records.record import record_of

NOISE = ("full_key", "object_type", "reference_type", "See http")
"""Beginnings of lines in Hydra's and OmegaConf's messages that tell a user nothing."""


NUMBERS = ("number", "whole number", "true or false")
"""Kinds of keys whose values hold no comma."""

PLACES = {
    "bench": "choose another --json",
    "cache": "choose another --folder",
    "doctor": "choose another --sheets, or --to where an archive is unpacked",
    "export": "choose another --out",
    "predict": "choose another --out",
    "report": "choose another --output",
    "sync": "copy the runs to a place that can be written",
    "threshold": "copy the run to a place that can be written",
}
"""Sub-command -> what names the place that it writes to."""
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
"""What a place answers that cannot be written."""


def leave(message: str, *, code: int = 1) -> NoReturn:
    """Print one line and end the program."""
    print(f"cfa_lab: {message}", file=sys.stderr)
    sys.exit(code)


def report(error: BaseException, folder: Path) -> NoReturn:
    """End the program for a single run's failure, with how to go on where that is worth it."""
    begun = (folder / names.OVERRIDES).is_file() and not is_complete(folder)
    resume = f"; continue with: python -m cfa_lab {shlex.quote(f'resume={folder}')}"
    if isinstance(error, KeyboardInterrupt):
        leave(f"interrupted{resume if begun else ''}", code=130)
    if isinstance(error, UserError):
        leave(f"{error}{resume if begun and _is_trained(folder) else ''}")
    if isinstance(error, OmegaConfBaseException):
        leave(describe(error))
    if (line := of_the_machine(error, folder)) is not None:
        leave(f"{line}{resume if begun else ''}")
    raise error


def of_the_machine(error: BaseException, folder: Path) -> str | None:
    """What a place or a limit of the machine refused, in one line; None for other errors."""
    if isinstance(error, MemoryError):
        return "there is not enough memory; lower features.memory_gb or trainer.batch_size"
    if not isinstance(error, OSError) or error.errno is None:
        return None
    if is_disk_full(error):
        return f"the disk that holds {folder} is full; make room"
    if error.errno == errno.EFBIG:
        return f"{error.filename or folder} grew beyond the limit of a file's size (ulimit -f)"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many files are open; raise the limit (ulimit -n)"
    if not folder.is_dir():
        return f"{folder} is gone: it was moved or deleted while the run went on; start it again"
    line = f"{error.filename or folder}: {error.strerror or error}"
    return f"{line}{another_place([])}" if error.errno in REFUSED else line


def another_place(arguments: Sequence[str]) -> str:
    """How to name a place that can be written, for a command line that wrote where none can be.

    The end of a line; empty where no option names one.
    """
    first = arguments[0] if arguments else ""
    if first.isalpha() and first != "plan":  # a sub-command
        return f"; {PLACES[first]}" if first in PLACES else ""
    of_many = "cfa_lab.cli.multirun" in sys.modules  # which is imported as a multirun starts
    of_many |= HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    return f"; choose another {'hydra.sweep.dir' if of_many else 'hydra.run.dir'}"


def is_disk_full(error: BaseException) -> bool:
    """Whether a disk or a quota was the reason."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def describe(error: BaseException) -> str:
    """Hydra's and OmegaConf's many-line messages in one line."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(error, OverrideParseException):
        return unreadable(error.override)
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        return no_such_option(str(error.missing_cfg_file), error.options)
    text = str(cause).partition("Config search path")[0]
    if (match := re.match(r"Ambiguous value for argument '(.*)'", text)) is not None:
        return several_values(match[1])
    lines = [line.strip() for line in text.splitlines() if line.strip(" ^")]
    keys = [line.partition(":")[2].strip() for line in lines if line.startswith("full_key")]
    lines = [line for line in lines if not line.startswith(NOISE)]
    message = "; ".join(lines).replace(":; ", ": ").replace(".; To append", "; to append")
    if (told := wrong_kind(message, keys)) is not None:
        return told
    if (match := re.search(r"Key '([^']+)' not in", message)) is not None:
        key = keys[0] if keys else match[1]
        return unknown_key(key, [*launcher_keys(), *dotted_keys()])
    return f"{keys[0]}: {message}" if keys and keys[0] not in message else message


def wrong_kind(message: str, keys: Sequence[str]) -> str | None:
    """About a value of another kind than its key's, from OmegaConf's words; None for other errors.

    `keys` are those that OmegaConf named.
    """
    found = re.search(r"Value '(.*)' (?:of type '\w+' could not be|is not a valid bool)", message)
    null = re.search(r"field '([\w.]+)' is not Optional", message)
    key = null[1] if null else keys[0] if keys else ""
    meaning = meanings().get(key)
    if meaning is None:
        return None
    kind = meaning.kind if meaning.kind.startswith("true") else f"a {meaning.kind}"
    allowed = f"; allowed: {meaning.allowed}" if meaning.allowed else ""
    explain = f"python -m cfa_lab explain {key} tells more"
    if null:
        return f"{key} may not be null; it holds {kind}{allowed}; {explain}"
    if found:
        return f"{key} is {found[1]!r}; must be {kind}{allowed}; {explain}"
    if meaning.kind.startswith("list") and "is not a ListConfig" in message:
        better = shlex.quote(f"{key}=[...]")
        return f"{key} is a {meaning.kind}; put its values in brackets, {better}; {explain}"
    return None


def launcher_keys() -> list[str]:
    """Every key of our launchers, as it is typed."""
    stored = ConfigStore.instance().repo.get("hydra", {}).get("launcher", {})
    nodes = [node.node for name, node in stored.items() if name.startswith("cfa_lab_")]
    return [f"hydra.launcher.{key}" for node in nodes for key in node if key != "_target_"]


def unreadable(override: str) -> str:
    """About an argument that Hydra's grammar does not take."""
    key, equals, value = override.partition("=")
    if not equals:
        return f"cannot read {shlex.quote(override)}; settings are key=value or group=option"
    inside = value.strip("'\"").replace('"', '\\"')
    better = shlex.quote(f'{key}="{inside}"')
    return (
        f"cannot read {shlex.quote(override)}; put a value with special characters in quotes "
        f"that reach the program: {better}"
    )


def several_values(argument: str) -> str:
    """About commas in a value of a single run."""
    key, _, value = argument.partition("=")
    better = shlex.quote(f'{key}="{value}"')
    meaning = meanings().get(key)
    if meaning is not None and meaning.kind.startswith("list"):
        better = shlex.quote(f"{key}=[{value}]")
        return f"{key} is a {meaning.kind}; put its values in brackets: {better}"
    if meaning is not None and meaning.kind.partition(",")[0] in NUMBERS:
        return f"{shlex.quote(argument)} has several values; put -m before it for a run of each"
    return (
        f"{shlex.quote(argument)} has several values; put -m before it for a run of each, or quote "
        f"a value that holds a comma: {better}"
    )


def no_such_option(missing: str, options: Sequence[str]) -> str:
    """About an option that a group does not have."""
    group, _, name = missing.rpartition("/")
    close = get_close_matches(name, options, n=1)
    near = f" (did you mean {close[0]!r}?)" if close else ""
    message = f"{group} has no option {name!r}{near}; allowed: {', '.join(options)}"
    if group == "backbone":
        layers = "'backbone.layers=[layer1,layer2,layer3]'"
        message += f"; any network of timm: backbone=timm backbone.name={name} {layers}"
    return message


def _is_trained(folder: Path) -> bool:
    """Whether a failed run got past its training, so that going on is worth it."""
    return "time/training_seconds" in record_of(folder).get("timing", {})
