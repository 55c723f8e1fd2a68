"""Compiled code is kept under a digest of `method/cpu/`: so it calls nothing from elsewhere."""

import ast
from pathlib import Path

import numba
import pytest

import cfa_lab
from cfa_lab.method.cpu import compiled
from cfa_lab.method.cpu.compiled import SOURCES

PACKAGE = Path(cfa_lab.__file__).parent
HOME = "cfa_lab.method.cpu"
DECORATORS = {"compiled", "inlined"}


def foreign_names(source: str, home: str = HOME) -> set[str]:
    """Names from outside `home` in the package that the compiled functions of a module read."""
    tree = ast.parse(source)
    foreign = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("cfa_lab")
        and not f"{node.module}.".startswith(f"{home}.")
        for alias in node.names
    }
    return {
        node.id
        for function in compiled_functions(tree)
        for statement in function.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and node.id in foreign
    }


def compiled_functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(d, ast.Name) and d.id in DECORATORS for d in node.decorator_list)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_compiled_function_reads_only_what_the_digest_covers(path: Path):
    assert not foreign_names(path.read_text(encoding="utf-8"))


def test_elsewhere_compiled_functions_call_nothing_from_another_file():
    """There is no digest for them: numba looks at their own file only. Triton's keep themselves."""
    assert sorted((PACKAGE / "method" / "cpu").glob("*.py")) == SOURCES
    elsewhere = set(PACKAGE.rglob("*.py")) - set(SOURCES)
    texts = {path: path.read_text(encoding="utf-8") for path in elsewhere}
    with_numba = [p for p, text in texts.items() if "import numba" in text or "from numba" in text]
    assert with_numba == [PACKAGE / "kernel_cache.py"]
    compiling = [path for path, text in texts.items() if compiled_functions(ast.parse(text))]
    assert PACKAGE / "data" / "resize.py" in compiling
    for path in compiling:
        assert not foreign_names(texts[path], home="nowhere"), path


def test_a_function_or_a_number_from_elsewhere_would_be_noticed():
    source = """
from cfa_lab.method.cpu.compiled import compiled, widen
from cfa_lab.method.filter import BF16_ROUNDING
from cfa_lab.method.loss import HypersphereLoss as Loss

@compiled
def kernel(values):
    return widen(values[0]) * BF16_ROUNDING

def outside(loss: Loss):
    return kernel(loss.nu)
"""
    assert foreign_names(source) == {"BF16_ROUNDING"}
    assert foreign_names(source.replace("* BF16_ROUNDING", "* Loss.nu")) == {"Loss"}


def test_what_compiles_is_one_phase_that_ends_whether_it_succeeds_or_not(monkeypatch):
    """numba 0.68.1 calls a success failed, so nobody may ask it."""
    told = []
    monkeypatch.setattr(compiled, "begin_phase", lambda phase: told.append(phase.name) or phase)
    monkeypatch.setattr(compiled, "end_phase", lambda phase: told.append("end"))

    @numba.njit
    def inner(x):
        return x + 1

    @numba.njit
    def outer(x):
        return inner(x)

    @numba.njit
    def wrong(x):
        return inner(x).no_such_attribute

    assert outer(1) == 2
    assert told == ["compiling kernels, once", "end"]
    with pytest.raises(numba.TypingError):
        wrong(1)
    assert told == ["compiling kernels, once", "end"] * 2
