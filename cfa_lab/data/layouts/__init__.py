"""Folder layouts: each turns a folder into a `SampleTable`, by name, without opening an image."""

import os
from difflib import get_close_matches
from pathlib import Path

from cfa_lab.data.layouts.detect import detect
from cfa_lab.data.layouts.folder import FOLDER
from cfa_lab.data.layouts.folders import folder_names, readable_folder_names
from cfa_lab.data.layouts.index import CSV
from cfa_lab.data.layouts.installed import installed_layout, installed_layouts, installed_names
from cfa_lab.data.layouts.kolektor import KOLEKTOR, KOLEKTOR2
from cfa_lab.data.layouts.layout import Layout, Listing, Options
from cfa_lab.data.layouts.magnetic_tile import MAGNETIC_TILE
from cfa_lab.data.layouts.mvtec import BTAD, MPDD, MVTEC, MVTEC_AD2, MVTEC_LOCO
from cfa_lab.data.layouts.real_iad import REAL_IAD
from cfa_lab.data.layouts.visa import VISA
from cfa_lab.data.samples import SampleTable
from cfa_lab.errors import UserError

AUTO = "auto"
AUTO_FINDS = "other folders, such as one of good and one of bad images, are found by dataset=auto"

LAYOUTS: dict[str, Layout] = {
    "csv": CSV,
    "real_iad": REAL_IAD,
    "visa": VISA,
    "mvtec_ad2": MVTEC_AD2,
    "mvtec_loco": MVTEC_LOCO,
    "btad": BTAD,
    "mpdd": MPDD,
    "mvtec": MVTEC,
    "kolektor": KOLEKTOR,
    "kolektor2": KOLEKTOR2,
    "magnetic_tile": MAGNETIC_TILE,
    "folder": FOLDER,
}
"""By name; the order in which `auto` tries them, the more particular ones first.

Layouts of other packages come after these.
"""

MADE = ("toy", "rd_mvtec")
"""Further words of `dataset.layout`: data sets made on first use, in the layout `mvtec`."""

__all__ = [
    "AUTO",
    "LAYOUTS",
    "Layout",
    "Listing",
    "Options",
    "categories",
    "locate",
    "read_samples",
]

DEFAULTS = Options()


def read_samples(
    layout: str, root: Path, category: str, options: Options = DEFAULTS
) -> SampleTable:
    """The table of one category of the data set under `root`; `auto` finds the layout out.

    The table's root may be a folder inside `root`, where an archive wraps its data set in one.
    Raises `UserError`, one line, for an unknown layout, a missing root, an unknown category and
    whatever the layout finds wrong inside the category.
    """
    name, root = locate(layout, root, options)
    chosen = _layout(name)
    found = chosen.categories(root, options)
    if category not in found:
        folder_names(root / category)  # where that is why: it says so, if it must not be listed
        raise UserError(_unknown_category(chosen, root, category, found))
    listing = chosen.listing(root, category, options)
    return SampleTable(
        root,
        category,
        tuple(listing.samples),
        layout=name,
        split_rule=listing.split_rule,
        drawn=listing.drawn,
        mask_above=listing.mask_above,
        unused_masks=listing.unused_masks,
        normal_masks=listing.normal_masks,
        masks_in=listing.masks_in,
        left_out=listing.left_out,
        measures=chosen.measures,
        saturation=listing.saturation,
    )


def categories(layout: str, root: Path, options: Options = DEFAULTS) -> list[str]:
    """Names of the categories of the data set under `root`, sorted; raises `UserError`."""
    name, root = locate(layout, root, options)
    return _layout(name).categories(root, options)


def locate(layout: str, root: Path, options: Options = DEFAULTS) -> tuple[str, Path]:
    """The layout's name and the folder where it begins, `root` or one inside; raises `UserError`.

    A named layout is looked for inside `root` too, where `root` itself does not have it.
    """
    known = None if layout == AUTO else _layout(layout)
    try:
        os.scandir(root).close()
    except OSError as error:
        if known is None:
            looked, source = "any known layout", "docs/datasets.md says where data sets are"
        else:
            looked, source = known.structure, known.source
        raise UserError(
            f"data set root {root}: {error.strerror}; looked for {looked} under it. {source}; set "
            "dataset.root to where it lies, or start with experiment=quickstart, which needs no "
            "data"
        ) from error
    if known is None:
        return detect(LAYOUTS, lambda: installed_layouts({AUTO, *MADE, *LAYOUTS}), root, options)
    if known.matches(root, options):
        return layout, root
    return layout, _wrapped(known, root, options) or root


def _layout(name: str) -> Layout:
    """A layout by its name, one of ours or of an installed package; raises `UserError`."""
    layout = LAYOUTS.get(name) or installed_layout(name)
    if layout is None:
        known = ", ".join((AUTO, *sorted({*LAYOUTS, *installed_names()})))
        raise UserError(f"unknown data layout {name!r}; known: {known}")
    return layout


def _wrapped(layout: Layout, root: Path, options: Options) -> Path | None:
    """The one folder inside, at most two levels down, that has the layout."""
    level = [root]
    for _ in range(2):
        level = [folder / name for folder in level for name in readable_folder_names(folder)]
        found = [folder for folder in level if layout.matches(folder, options)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _unknown_category(layout: Layout, root: Path, category: str, found: list[str]) -> str:
    message = f"category {category!r} not found under {root}"
    if found:
        nearest = get_close_matches(category, found, n=1)
        hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
        return f"{message}{hint}; found: {', '.join(found)}"
    if (root / "train").is_dir() or (root / "test").is_dir():
        return f"{message}: it is the folder of one category; set dataset.root to {root.parent}"
    other = f"; {AUTO_FINDS}" if layout is not LAYOUTS["folder"] else ""
    return f"{message}, nor any other; looked for {layout.structure}{other}"
