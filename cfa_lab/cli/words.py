"""What is said of a word or a flag on the command line that is none, and of what may be meant."""

import shlex
from collections.abc import Sequence
from difflib import get_close_matches

from cfa_lab.cli.nearby import meant
from cfa_lab.cli.schema import dotted_keys
from cfa_lab.errors import UserError

ANOTHER_WAY = {
    **dict.fromkeys(
        ("train", "fit", "run", "start", "test", "evaluate", "eval"),
        "a run needs no word: python -m cfa_lab category=... dataset.root=...",
    ),
    **dict.fromkeys(
        ("resume", "continue"), "a run goes on with python -m cfa_lab resume=<its folder>"
    ),
    **dict.fromkeys(
        ("sweep", "multirun", "grid"), "many runs are started with python -m cfa_lab -m ..."
    ),
    "help": "see python -m cfa_lab --help",
    "version": "see python -m cfa_lab --version",
    **dict.fromkeys(("config", "show"), "see python -m cfa_lab --cfg job"),
    **dict.fromkeys(("keys", "list"), "see python -m cfa_lab explain"),
    **dict.fromkeys(("check", "validate"), "did you mean doctor?"),
    **dict.fromkeys(("infer", "inference", "score"), "did you mean predict?"),
    **dict.fromkeys(("calibrate",), "did you mean threshold?"),
}
"""A word that no sub-command is called by -> what does it."""

FLAGS = (
    *("--help", "-h", "--hydra-help", "--version", "--cancel", "--cfg", "-c", "--resolve"),
    *("--package", "-p", "--run", "-r", "--multirun", "-m", "--shell-completion", "-sc"),
    *("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--info", "-i"),
    "--experimental-rerun",
)
"""Ours and Hydra's."""


def unknown_word(word: str, subcommands: Sequence[str]) -> str:
    """The message about a word that is no sub-command."""
    near = get_close_matches(word.lower(), subcommands, n=1)
    hint = ANOTHER_WAY.get(word.lower()) or (f"did you mean {near[0]}?" if near else "")
    return (
        f"{word!r} is neither a setting (key=value) nor a sub-command"
        f"{f'; {hint}' if hint else ''}; sub-commands: {', '.join(subcommands)}; "
        "see python -m cfa_lab --help"
    )


def refuse_unknown_flags(arguments: Sequence[str]) -> None:
    """Raise UserError for a flag that is none: `--seed=3` is a setting that has lost its way."""
    for argument in arguments:
        flag = argument.partition("=")[0]
        if not flag.startswith("-") or any(known.startswith(flag) for known in FLAGS):
            continue
        if not flag.startswith("--") and flag[:2] in FLAGS:  # -cjob
            continue
        name = flag.lstrip("-").replace("-", "_")
        known = dotted_keys()
        key = name if name in known else meant(name, known)
        example = f"{key}={argument.partition('=')[2] or '...'}"
        hint = f"; settings have no dashes: {shlex.quote(example)}" if key else ""
        raise UserError(f"unknown option {argument!r}{hint}; see python -m cfa_lab --help")
