"""Folder layouts: each turns a folder into a `SampleTable`, by name, without opening an image."""

import os
from difflib import get_close_matches
from pathlib import Path

from cfa_lab.data.layouts.layout import Layout
from cfa_lab.data.layouts.mvtec import MVTEC
from cfa_lab.data.samples import SampleTable
from cfa_lab.errors import UserError

LAYOUTS: dict[str, Layout] = {"mvtec": MVTEC}

__all__ = ["LAYOUTS", "Layout", "categories", "read_samples"]


def read_samples(layout: str, root: Path, category: str) -> SampleTable:
    """The table of one category of the data set under `root`.

    Raises `UserError`, one line, for an unknown layout, a missing root, an unknown category and
    whatever the layout finds wrong inside the category.
    """
    found = categories(layout, root)
    if category not in found:
        raise UserError(_unknown_category(LAYOUTS[layout], root, category, found))
    return SampleTable(root, category, tuple(LAYOUTS[layout].samples(root, category)))


def categories(layout: str, root: Path) -> list[str]:
    """Names of the categories of the data set under `root`, sorted; raises `UserError`."""
    if layout not in LAYOUTS:
        raise UserError(f"unknown data layout {layout!r}; known: {', '.join(sorted(LAYOUTS))}")
    try:
        os.scandir(root).close()
    except OSError as error:
        raise UserError(
            f"data set root {root}: {error.strerror}; looked for {LAYOUTS[layout].structure} "
            f"under it. {LAYOUTS[layout].source}; set dataset.root to where it lies, or start with "
            "experiment=quickstart, which needs no data"
        ) from error
    return LAYOUTS[layout].categories(root)


def _unknown_category(layout: Layout, root: Path, category: str, found: list[str]) -> str:
    message = f"category {category!r} not found under {root}"
    if found:
        nearest = get_close_matches(category, found, n=1)
        hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
        return f"{message}{hint}; found: {', '.join(found)}"
    if (root / "train").is_dir() or (root / "test").is_dir():
        return f"{message}: it is the folder of one category; set dataset.root to {root.parent}"
    return f"{message}, nor any other; looked for {layout.structure}"
