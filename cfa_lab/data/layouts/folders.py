"""Listing folders: visible images and sub-folders, by name, nothing opened."""

import os
from collections.abc import Iterator
from pathlib import Path

from cfa_lab.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def image_names(folder: Path) -> list[str]:
    """Names of the images in a folder, sorted; none where the folder does not exist.

    An image is told by its suffix, in any letter case. A dangling link counts as one: it has to
    fail by name when it is read, not vanish from the data set.
    """
    return sorted(
        entry.name
        for entry in _visible_entries(folder)
        if entry.name.lower().endswith(IMAGE_SUFFIXES) and not entry.is_dir()
    )


def folder_names(folder: Path) -> list[str]:
    """Names of the sub-folders of a folder, sorted; none where the folder does not exist."""
    return sorted(entry.name for entry in _visible_entries(folder) if entry.is_dir())


def stem(name: str) -> str:
    """A file's name without its last suffix."""
    return name.rpartition(".")[0]


def _visible_entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UserError(
            f"cannot list folder {folder}: {error.strerror}; check its permissions"
        ) from error
