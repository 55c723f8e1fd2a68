import sys
from pathlib import Path

import pytest

from cfa_lab.method.put_off import put_off


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package `heavy` with a module in it, whose imports are listed, and who imports them."""
    folder = tmp_path / "heavy"
    folder.mkdir()
    (folder / "__init__.py").write_text("import builtins; builtins.IMPORTED.append(__name__)\n")
    (folder / "part.py").write_text(
        "import builtins; builtins.IMPORTED.append(__name__)\n"
        "NUMBER = 7\n"
        "def double(x, *, add=0):\n    return 2 * x + add\n"
    )
    imported: list[str] = []
    monkeypatch.setattr("builtins.IMPORTED", imported, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield imported
    for name in [name for name in sys.modules if name.partition(".")[0] == "heavy"]:
        del sys.modules[name]


def test_a_listed_function_imports_its_module_when_it_is_called(package):
    with put_off({"heavy.part": ["double"]}):
        from heavy.part import double  # pyright: ignore[reportMissingImports]
    assert package == [] and "heavy.part" not in sys.modules
    assert double(3, add=1) == 7
    assert package == ["heavy", "heavy.part"]
    assert sys.modules["heavy.part"].double(1) == double(1) == 2


def test_a_module_is_imported_when_something_of_it_is_needed(package):
    with put_off({"heavy": []}):
        import heavy  # pyright: ignore[reportMissingImports]
    assert package == [] and "heavy" not in sys.modules
    assert "heavy" in str(heavy.__file__)
    assert package == ["heavy"]


def test_whatever_is_not_listed_is_there_at_once(package):
    with put_off({"heavy.part": ["double"], "heavy": []}):
        from heavy.part import NUMBER  # pyright: ignore[reportMissingImports]

        assert sys.modules["heavy.part"].NUMBER == NUMBER == 7
    assert package == ["heavy", "heavy.part"]
    assert sys.modules["heavy"].part is sys.modules["heavy.part"]


def test_a_part_of_a_package_can_be_imported(package):
    with put_off({"heavy": []}):
        import heavy.part  # pyright: ignore[reportMissingImports]

        assert heavy.part.NUMBER == 7
    assert package == ["heavy", "heavy.part"]


def test_looking_through_all_modules_imports_none(package):
    with put_off({"heavy.part": [], "heavy": []}):
        assert not any(
            hasattr(module, "__file__")
            for name, module in sys.modules.copy().items()
            if name.startswith("heavy")
        )
    assert package == []


def test_what_is_imported_already_is_left_alone_and_errors_leave_nothing_behind(package):
    import heavy.part  # pyright: ignore[reportMissingImports]

    with pytest.raises(ImportError), put_off({"heavy.part": [], "heavy.missing": []}):
        assert sys.modules["heavy.part"] is heavy.part
        raise ImportError
    assert sys.modules["heavy.part"] is heavy.part
    assert "heavy.missing" not in sys.modules


def test_a_name_that_is_not_there_is_an_import_error(package):
    with pytest.raises(ImportError, match="nothing"), put_off({"heavy.part": []}):
        from heavy.part import nothing  # pyright: ignore  # noqa: F401
