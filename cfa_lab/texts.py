"""Text files that somebody else may have written: no pipes, none too large, none that grows.

Run folders, settings and index files come from anywhere. Whoever reads them here gets a text or a
value, or one line on why there is none.
"""

import json
import stat
from pathlib import Path
from typing import Any

from cfa_lab.errors import UserError

MOST_BYTES = 2**30
"""Of tables; those of a run are a few MB."""
MOST_BYTES_OF_JSON = 2**28
"""Records have some 10 kB, the largest index files of data sets some 10 MB."""
MOST_CHARACTERS_OF_YAML = 10**6
"""With everything written out that it repeats. Settings have a few thousand."""
DEEPEST = 100
"""Lists and mappings inside each other."""


def read_text(path: Path, *, most: int = MOST_BYTES) -> str:
    """The text of a file of at most `most` bytes, in UTF-8; raises what `read_bytes` raises.

    And UnicodeDecodeError where it is no text.
    """
    content = read_bytes(path, most=most)
    return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def read_bytes(path: Path, *, most: int = MOST_BYTES) -> bytes:
    """What a file of at most `most` bytes holds.

    Raises OSError where it is not there, and UserError for what is no file, which might be waited
    for or read for ever, and for a file that is larger.
    """
    refuse_no_file(path)
    with path.open("rb") as file:
        content = file.read(most + 1)  # a file may say that it is smaller than it is
    if len(content) > most:
        raise UserError(f"{path} has more than {_size(most)}; nothing of its kind is so large")
    return content


def refuse_no_file(path: Path) -> None:
    """Raise UserError for a pipe, a socket or a device; OSError where nothing is there.

    A folder is left to whoever opens it, which says so.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UserError(f"{path} is {_kind(mode)} and no file; put a file there, or nothing")


def read_json(path: Path) -> Any:
    """The value that a JSON file holds; raises what `read_text` raises, and ValueError."""
    return parse_json(read_text(path, most=MOST_BYTES_OF_JSON))


def parse_json(text: str | bytes) -> Any:
    """The value that a JSON text stands for; raises ValueError, also where it is too deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its lists and mappings lie too deep in each other") from None


def read_yaml(path: Path) -> Any:
    """The plain value that a YAML file holds; raises OSError, and UserError for any other reason.

    `${...}` stays as it is.
    """
    import yaml

    try:
        text = read_text(path, most=MOST_CHARACTERS_OF_YAML)
        _refuse_endless_yaml(text, path)
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path} is no YAML ({_one_line(error)}); mend it or delete it") from error


def refuse_endless_yaml(path: Path) -> None:
    """Raise UserError for a file that is no YAML of a sensible size, for readers of other packages.

    A few lines that repeat each other (`&a`, `*a`) can stand for more than any memory holds.
    """
    import yaml

    try:
        _refuse_endless_yaml(read_text(path, most=MOST_CHARACTERS_OF_YAML), path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return  # its reader says what is wrong, and where


def _refuse_endless_yaml(text: str, path: Path) -> None:
    """By the events of a parser, which are as many as the text is long, whatever they stand for."""
    import yaml

    anchored: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1))
            if len(open_nodes) > DEEPEST:
                raise UserError(
                    f"{path} has over {DEEPEST} lists and mappings inside each other; settings "
                    "have a few"
                )
            continue
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in (anchor for anchor, _ in open_nodes):
                raise UserError(f"{path} repeats *{event.anchor} inside itself; write it out")
            anchor, size = None, anchored.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1 + len(event.value)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
        else:
            continue
        if anchor is not None:
            anchored[anchor] = size
        if open_nodes:
            outer, counted = open_nodes.pop()
            size += counted
            open_nodes.append((outer, size))
        if size > MOST_CHARACTERS_OF_YAML:
            raise UserError(
                f"{path} stands for more than {MOST_CHARACTERS_OF_YAML} characters once its "
                "repetitions (&, *) are written out; no settings are so long"
            )


def _kind(mode: int) -> str:
    return {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}.get(stat.S_IFMT(mode), "a device")


def _size(num_bytes: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if num_bytes >= size:
            return f"{num_bytes / size:.0f} {unit}"
    return f"{num_bytes} bytes"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
