"""Layouts of other packages: entry points of the group `cfa_lab.layouts`, imported when needed.

A package that is broken spoils the runs that ask for its layout, and no others.
"""

import logging
from collections.abc import Collection
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from cfa_lab.data.layouts.layout import Layout, Options
from cfa_lab.errors import UserError

GROUP = "cfa_lab.layouts"

log = logging.getLogger(__name__)


def installed_names() -> list[str]:
    """The names that installed packages give their layouts, sorted; imports none of them."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def installed_layout(name: str) -> Layout | None:
    """The layout of a package under this name; None where no package offers one.

    Raises `UserError`, one line that names the package, where it cannot be imported or is no
    `Layout`, and where several packages offer the name.
    """
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    if len(points) > 1:
        packages = ", ".join(sorted(map(_package, points)))
        raise UserError(
            f"several packages offer a layout {name!r}: {packages}; uninstall all but one of them"
        )
    return _load(points[0]) if points else None


def installed_layouts(taken: Collection[str]) -> dict[str, Layout]:
    """All layouts of packages by name, for `auto`: with a warning, without those that are broken.

    A name in `taken`, those of our own, is not used.
    """
    found: dict[str, Layout] = {}
    for name in installed_names():
        try:
            if name in taken:
                raise UserError(f"a package's layout {name!r} has the name of one of cfa_lab's own")
            layout = installed_layout(name)
        except UserError as error:
            log.warning("%s; it is left out", error)
            continue
        if layout is not None:
            found[name] = replace(layout, matches=_Matches(name, layout))
    return found


class _Matches:
    """A package's `matches`, whose mistakes do not keep `auto` from trying others."""

    def __init__(self, name: str, layout: Layout):
        self.name = name
        self.layout = layout

    def __call__(self, root: Path, options: Options) -> bool:
        try:
            return self.layout.matches(root, options)
        except Exception as error:
            log.warning("layout %r fails at %s (%r); it is left out", self.name, root, error)
            return False


def _load(point: EntryPoint) -> Layout:
    try:
        loaded = point.load()
    except Exception as error:  # whatever importing a package may raise
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"layout {point.name!r} of package {_package(point)} cannot be imported from "
            f"{point.value} ({type(error).__name__}: {reason}); mend or uninstall the package"
        ) from error
    if not isinstance(loaded, Layout):
        raise UserError(
            f"layout {point.name!r} of package {_package(point)}: {point.value} is a "
            f"{type(loaded).__name__}; it must be a cfa_lab.data.layouts.Layout"
        )
    return loaded


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
