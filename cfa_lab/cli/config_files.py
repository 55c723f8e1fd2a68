"""Files of settings that are not ours, looked at before Hydra reads them."""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from cfa_lab.config import conf_dir
from cfa_lab.texts import refuse_endless_yaml

_FOLDER = re.compile(r"(--config-(?:d|di|dir|p|pa|pat|path)|-cd|-cp)(?:=(.*))?")
"""Hydra's flags that name a folder, as argparse takes them."""
_SEARCH_PATH = re.compile(r"\+*hydra\.searchpath=\[?(.*?)\]?")


def refuse_endless_files(arguments: Sequence[str]) -> None:
    """Raise UserError where a file of settings in a folder that these arguments name would grow
    without end.

    Only what Hydra could read there is looked at: its groups, and the files beside them.
    """
    groups = {folder.name for folder in conf_dir().iterdir() if folder.is_dir()}
    for folder in map(Path, _folders(arguments)):
        own = folder.absolute()
        found = [*own.glob("*.yaml")]
        found += [path for group in sorted(groups) for path in (own / group).rglob("*.yaml")]
        for path in found:
            if path.is_file():  # Hydra takes nothing else
                refuse_endless_yaml(path)


def _folders(arguments: Sequence[str]) -> Iterator[str]:
    for argument, after in zip_longest(arguments, arguments[1:], fillvalue=""):
        if match := _FOLDER.fullmatch(argument):
            yield after if match[2] is None else match[2]
        elif match := _SEARCH_PATH.fullmatch(argument):
            parts = (part.strip(" '\"") for part in match[1].split(","))
            yield from (part.removeprefix("file://") for part in parts if "pkg://" not in part)
