"""Masks that lie among the images: told by the names of files and folders alone."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

from cfa_lab.data.layouts.folders import IMAGE_SUFFIXES, Skip, images_below, stem
from cfa_lab.data.layouts.words import means_masks

_WORDS = r"(?:masks?|gt|labels?|seg(?:mentation)?|ground[ _-]?truth|annotations?)"
_BEHIND = re.compile(rf"(?:[ _.-]+{_WORDS})+$", re.IGNORECASE)
_BEFORE = re.compile(rf"^(?:{_WORDS}[ _.-]+)+", re.IGNORECASE)


def unmarked(name: str) -> str:
    """A mask's stem, or its folder's name, without the words that mark it as one: `7` of `7-gt`."""
    return _BEFORE.sub("", _BEHIND.sub("", name)) or name


def bare(name: str) -> str:
    """An image's stem from its mask's; of `7.jpg_mask`, too, that of `7.jpg`."""
    rest = unmarked(name)
    return stem(rest) if rest.lower().endswith(IMAGE_SUFFIXES) else rest


def owner_of(folder: str, beside: Collection[str]) -> str | None:
    """Of folders `beside` it, the one whose masks a folder holds: `dent` for `dent_mask`."""
    rest = unmarked(folder)
    return rest if rest != folder and rest in beside else None


def masks_among(paths: Collection[str], *, of_kinds: bool = False) -> Mapping[str, str]:
    """The paths of files that are masks, each with the path that it would have beside its image.

    A mask lies in a folder that is called like one (`dent/masks`, `ground_truth`), or like another
    folder and mask (`dent_mask`), or beside its image and is called like it and mask. `of_kinds`:
    the first folders of the paths may be kinds of defect.
    """
    below: dict[str, set[str]] = defaultdict(set)
    stems: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        folder, _, name = path.rpartition("/")
        stems[folder].add(stem(name))
    for folder in [*stems]:
        while folder:
            above, _, name = folder.rpartition("/")
            below[above].add(name)
            folder = above

    @cache
    def place(folder: str) -> tuple[str, bool]:
        """Where a folder's images lie, and whether it holds masks."""
        if not folder:
            return "", False
        above, _, name = folder.rpartition("/")
        there, masks = place(above)
        if means_masks(name, surely=of_kinds and not above):
            return there, True
        owner = owner_of(name, below[above])
        return f"{there}/{owner or name}".lstrip("/"), masks or owner is not None

    found: dict[str, str] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        there, masks = place(folder)
        marked = unmarked(stem(name)) != stem(name)
        if masks or (marked and bare(stem(name)) in stems[folder]):
            found[path] = f"{there}/{name}".lstrip("/")
    return found


def pictures_below(folder: Path, skip: Skip) -> list[str]:
    """What `images_below` finds, without the masks among it."""
    paths = images_below(folder, skip)
    masks = masks_among(paths)
    return [path for path in paths if path not in masks]
