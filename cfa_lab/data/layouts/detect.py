"""Finding out which layout a folder has, and the folder inside a download where it begins."""

from collections.abc import Callable, Mapping
from pathlib import Path

from cfa_lab.data.layouts.folders import readable_folder_names
from cfa_lab.data.layouts.layout import Layout, Options
from cfa_lab.data.layouts.mvtec import AD2, ANY_NAME
from cfa_lab.errors import UserError

DEPTH = 3
"""Levels of folders that an archive may wrap a data set in."""

MOST = 40
"""A folder with more sub-folders than this is no wrapper, and is not searched."""


def detect(
    layouts: Mapping[str, Layout],
    more: Callable[[], Mapping[str, Layout]],
    root: Path,
    options: Options,
) -> tuple[str, Path]:
    """The name of the layout of `root`, and the folder where it begins: `root` or one inside.

    The first of `layouts` that matches counts, so the more particular ones stand first; where none
    does, at no level, the first of what `more()` returns. Raises `UserError` where none matches,
    where `root` holds several data sets, and where it is the folder of one category.
    """
    if any(tree.matches_category(root) for tree in (ANY_NAME, AD2)):
        raise UserError(
            f"{root} is the folder of one category; set dataset.root to {root.parent} and "
            f"category={root.name}"
        )
    if found := _search(layouts, root, options):
        return found
    further = more()
    if found := _search(further, root, options):
        return found
    raise UserError(
        f"{root} has no layout that is known; found in it: {_contents(root)}; known: "
        f"{', '.join((*layouts, *further))} (docs/datasets.md shows each); for folders of your own "
        "name them: dataset=folder 'dataset.normal=[...]'"
    )


def _search(layouts: Mapping[str, Layout], root: Path, options: Options) -> tuple[str, Path] | None:
    """The one folder with one of the layouts in the uppermost level that has any."""
    level = [root]
    for _ in range(DEPTH if layouts else 0):
        found = [
            (name, folder) for folder in level if (name := _layout_of(layouts, folder, options))
        ]
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(f"{folder.relative_to(root)} ({name})" for name, folder in found)
            raise UserError(f"{root} holds several data sets: {several}; set dataset.root to one")
        inside = [[folder / name for name in readable_folder_names(folder)] for folder in level]
        level = [path for paths in inside if len(paths) <= MOST for path in paths]
    return None


def _layout_of(layouts: Mapping[str, Layout], folder: Path, options: Options) -> str | None:
    matching = (name for name, layout in layouts.items() if layout.matches(folder, options))
    return next(matching, None)


def _contents(root: Path) -> str:
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    return ", ".join(names[:8]) + (" and more" if len(names) > 8 else "") or "nothing"
