"""How the program ends for an error: one line for a user's, a traceback for ours."""

import errno
import re
import shlex
import sys
from pathlib import Path
from typing import NoReturn

from omegaconf.errors import OmegaConfBaseException

from cfa_lab.cli.schema import dotted_keys, unknown_key
from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.folders import is_complete
from cfa_lab.records.record import record_of

NOISE = ("full_key", "object_type", "reference_type", "See http")
"""Beginnings of lines in Hydra's and OmegaConf's messages that tell a user nothing."""


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
    if is_disk_full(error):
        leave(f"the disk that holds {folder} is full; make room{resume if begun else ''}")
    raise error


def is_disk_full(error: BaseException) -> bool:
    """Whether a disk or a quota was the reason."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def describe(error: BaseException) -> str:
    """Hydra's and OmegaConf's many-line messages in one line."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    text = str(cause).partition("Config search path")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip(" ^")]
    keys = [line.partition(":")[2].strip() for line in lines if line.startswith("full_key")]
    lines = [line for line in lines if not line.startswith(NOISE)]
    message = "; ".join(lines).replace(":; ", ": ").replace(".; To append", "; to append")
    if "Lexer" in message or "parser" in str(type(error)).lower():
        message += "; put values with special characters in quotes: 'category=\"...\"'"
    if (match := re.search(r"Key '([^']+)' not in", message)) is not None:
        return unknown_key(keys[0] if keys else match[1], dotted_keys())
    return f"{keys[0]}: {message}" if keys and keys[0] not in message else message


def _is_trained(folder: Path) -> bool:
    """Whether a failed run got past its training, so that going on is worth it."""
    return "time/training_seconds" in record_of(folder).get("timing", {})
