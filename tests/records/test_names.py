"""The names of a run folder's files stand in one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cfa_lab
from cfa_lab.records import figures, names

PACKAGE = Path(cfa_lab.__file__).parent
FILES = {
    value
    for module in (names, figures)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str) and "." in value.lstrip(".")
}
FILES |= {figure.file for figure in figures.CASE_FIGURES.values()}
FILES |= {names.SETTINGS, Path(names.OVERRIDES).name}
OTHERS = {"features/weights_hashes.py": "model.safetensors"}
"""What others call files of theirs: the hub, its weights."""


def literals(path: Path) -> Iterator[str]:
    """All texts in a module's code, f-strings' parts too; docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in {*ast.walk(tree)} - docstrings:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_there_are_names_to_look_for():
    assert {"metrics.json", "history.csv", "multirun.yaml", ".hydra"} <= FILES


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_no_other_module_writes_a_name_out(path: Path):
    if path in (Path(names.__file__), Path(figures.__file__)):
        return
    allowed = OTHERS.get(path.relative_to(PACKAGE).as_posix())
    for text in literals(path):
        found = [name for name in FILES if name in text]
        assert not found or text == allowed, f"{path}: {text!r} spells {found} out"
