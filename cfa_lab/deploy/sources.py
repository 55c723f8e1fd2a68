"""The images that a command line names."""

import sys
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

from cfa_lab.data.layouts.folders import IMAGE_SUFFIXES, folder_names, image_names
from cfa_lab.errors import UserError

STANDARD_INPUT = "-"


def named_images(arguments: Sequence[str]) -> Iterator[Path]:
    """The images of files, folders (at any depth), globs, and `-` for paths on standard input.

    Each path once, in the order named; those of a folder sorted. Whatever is named alone is taken
    for an image, whatever its suffix. Raises UserError at once for an argument that names nothing.
    """
    parts = [_named(argument) for argument in arguments]
    return _once(path for part in parts for path in part)


def images_below(folder: Path) -> Iterator[Path]:
    """The visible images of a folder, then those of its sub-folders, by name."""
    yield from (folder / name for name in image_names(folder))
    for name in folder_names(folder):
        yield from images_below(folder / name)


def _named(argument: str) -> Iterator[Path]:
    if argument == STANDARD_INPUT:
        return (Path(line.rstrip("\r\n")) for line in sys.stdin if line.strip())
    path = Path(argument).expanduser()
    if path.is_dir():
        found = list(images_below(path))
        if not found:
            raise UserError(
                f"{path} holds no image, at any depth; images end in {', '.join(IMAGE_SUFFIXES)}"
            )
        return iter(found)
    if path.exists():
        return iter([path])
    matches = glob(str(path), recursive=True)  # noqa: PTH207  (takes absolute patterns, too)
    found = [Path(match) for match in sorted(matches)]
    images = [match for match in found if match.is_file()]
    if not images:
        raise UserError(f"{argument} names no image: no file, folder or glob that fits a file")
    return iter(images)


def _once(paths: Iterator[Path]) -> Iterator[Path]:
    seen: set[str] = set()
    for path in paths:
        if str(path) not in seen:
            seen.add(str(path))
            yield path
