"""Listing folders: visible images and sub-folders, by name, nothing opened."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cfa_lab.errors import UserError

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".tif", ".tiff", ".webp"),
    *(".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k"),
)

SYSTEM = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle"),
    *("$recycle.bin", "system volume information", "lost+found"),
}
"""Files and folders that operating systems leave, in lower case; like hidden ones, they are no
part of any data set."""

log = logging.getLogger(__name__)

Skip = Callable[[str], bool]
"""Of a sub-folder's name, whether the folder is not entered."""


def _none(name: str) -> bool:
    return False


def image_names(folder: Path) -> list[str]:
    """Names of the images in a folder, sorted; none where the folder does not exist.

    An image is told by its suffix, in any letter case. A dangling link counts as one: it has to
    fail by name when it is read, not vanish from the data set.
    """
    return sorted(
        entry.name
        for entry in _visible_entries(folder)
        if entry.name.lower().endswith(IMAGE_SUFFIXES) and not _is_folder(entry)
    )


def folder_names(folder: Path) -> list[str]:
    """Names of the sub-folders of a folder, sorted; none where the folder does not exist."""
    return sorted(entry.name for entry in _visible_entries(folder) if _is_folder(entry))


def readable_folder_names(folder: Path) -> list[str]:
    """Names of the sub-folders that may be listed, sorted: for looking around.

    Others are left out with a warning, so that they do not stand in the way of their neighbours.
    """
    names = []
    for name in folder_names(folder):
        try:
            os.scandir(folder / name).close()
        except OSError as error:
            log.warning("folder %s is left out: %s", folder / name, error.strerror)
        else:
            names.append(name)
    return names


def images_below(folder: Path, skip: Skip = _none) -> list[str]:
    """Paths of the images in a folder and its sub-folders, relative to it, with `/`, sorted."""
    found = [p for p in files_below(folder, skip) if p.lower().endswith(IMAGE_SUFFIXES)]
    return sorted(found)


def has_images(folder: Path, skip: Skip = _none) -> bool:
    """Whether `images_below` finds any; ends at the first."""
    return any(path.lower().endswith(IMAGE_SUFFIXES) for path in files_below(folder, skip))


def files_below(folder: Path, skip: Skip = _none) -> Iterator[str]:
    """Paths of the visible files in a folder and its sub-folders, as `images_below` gives them."""
    return _files_below(folder, "", skip, frozenset())


def child(folder: Path, name: str) -> str | None:
    """The sub-folder of this name, as it is spelt there, exactly or else in any letter case.

    `name` may be a path of several folders. None where there is none.
    """
    spelt: list[str] = []
    for part in name.split("/"):
        names = folder_names(folder.joinpath(*spelt))
        same = [n for n in names if n == part] or [n for n in names if n.lower() == part.lower()]
        if not same:
            return None
        spelt.append(same[0])
    return "/".join(spelt)


def stem(name: str) -> str:
    """A file's name without its last suffix."""
    return name.rpartition(".")[0]


def _files_below(folder: Path, prefix: str, skip: Skip, above: frozenset[str]) -> Iterator[str]:
    """`above` are the folders that this one lies in: a link to one of them leads round for ever."""
    above |= {os.path.realpath(folder)}
    for entry in _visible_entries(folder):
        if not _is_folder(entry):
            yield f"{prefix}{entry.name}"
        elif not skip(entry.name) and os.path.realpath(entry.path) not in above:
            yield from _files_below(folder / entry.name, f"{prefix}{entry.name}/", skip, above)


def _visible_entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if _is_visible(entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UserError(
            f"cannot list folder {folder}: {error.strerror}; check its permissions"
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether this is a folder; a link that leads round, or where nobody may look, is a file: it
    has to fail by name when it is read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in SYSTEM
