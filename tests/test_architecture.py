"""Imports run in one direction: every module may import from the rooms before its own only."""

import ast
from pathlib import Path

import pytest

import cfa_lab

PACKAGE = Path(cfa_lab.__file__).parent

LAYERS = [
    {"errors", "files", "kernel_cache", "progress", "texts", "vocabulary"},
    {"method", "data", "metrics", "config", "records"},
    {"features", "training", "tracking", "report", "launch"},
    {"evaluation"},
    {"figures"},
    {"run"},
    {"study", "doctor", "deploy"},
    {"cli", "bench"},
]
"""Rooms from the ground up. Rooms of one layer do not know each other."""

FRONTS = {"__init__", "__main__"}
"""Hand names on, or call `cli`; nothing imports them."""

JUDGES = {"reference"}
"""Imported by tests and benchmarks only."""

MODULES = sorted(PACKAGE.rglob("*.py"))
GROUND = LAYERS[0]
TABLE = PACKAGE.parent / "docs" / "architecture.md"


def room(module: str) -> str:
    """The room of a dotted module name below the package: its first part."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> set[str]:
    """Rooms of this package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
            if node.module == "cfa_lab":
                names = [f"cfa_lab.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {room(name) for name in names if name.startswith("cfa_lab.")}
    return found


def layer(name: str) -> int:
    return next(i for i, rooms in enumerate(LAYERS) if name in rooms)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_below(path: Path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in FRONTS | JUDGES:
        return
    for other in imports(path) - {own, ""}:
        assert other not in JUDGES or own == "bench", f"{path} imports the judge {other}"
        if other in JUDGES:
            continue
        below = other == "errors" or layer(other) < layer(own)  # the ground floor raises it, too
        assert below, f"{own} must not import {other}"


def test_every_room_stands_in_a_layer():
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert rooms - FRONTS - JUDGES <= set().union(*LAYERS)


def rooms_in_the_document() -> dict[str, set[str]]:
    """Room -> rooms it knows, from the table of the architecture."""
    found = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            rooms, _, known = (cell.strip() for cell in line.strip("|").split(" | "))
            for name in rooms.split(", "):
                found[name.strip("`/")] = set(known.split(", ")) - {""}
    return found


def test_the_document_names_every_room_and_what_it_knows():
    known: dict[str, set[str]] = {name: set() for name in set().union(*LAYERS) | JUDGES}
    for path in MODULES:
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if own not in FRONTS:
            known[own] |= imports(path) - {own, ""} - GROUND
    assert rooms_in_the_document() == known, "docs/architecture.md: mend its table of rooms"


def test_the_document_lists_rooms_from_the_ground_up():
    named = [name for name in rooms_in_the_document() if name not in JUDGES]
    assert [layer(name) for name in named] == sorted(layer(name) for name in named)


@pytest.mark.parametrize("name", ["yaml", "hydra", "omegaconf", "logging", "wandb"])
def test_the_method_is_pure_torch(name: str):
    for path in (PACKAGE / "method").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {
            (node.module or "").split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        assert name not in names, path
