"""What two files of the repository say of one thing is the same, and what tools rely on holds."""

import re
from pathlib import Path

import pytest

import cfa_lab

REPOSITORY = Path(__file__).parents[1]
ROOMS = ("cfa_lab", "conf", "docs", "experiments", "hydra_plugins", "sweeps", "tests")


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def test_the_version_is_the_newest_release_in_the_changelog():
    found = re.search(r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", read("CHANGELOG.md"), re.MULTILINE)
    citation = dict(re.findall(r"^(version|date-released): (\S+)$", read("CITATION.cff"), re.M))
    assert found
    assert found[1] == cfa_lab.__version__ == citation["version"]
    assert found[2] == citation["date-released"]


def test_contributing_tells_when_each_version_in_the_code_is_raised():
    text = read("CONTRIBUTING.md")
    constant = re.compile(r"^((?:[A-Z]+_)?(?:VERSION|SCHEMA)) = \d+$", re.MULTILINE)
    files = sorted((REPOSITORY / "cfa_lab").rglob("*.py"))
    found = {
        (name, path.relative_to(REPOSITORY).as_posix())
        for path in files
        for name in constant.findall(path.read_text(encoding="utf-8"))
    }
    assert len(found) >= 4
    for name, path in found:
        assert f"| `{name}` in `{path}` |" in text


def test_supported_pythons_stand_in_one_order_everywhere():
    project = read("pyproject.toml")
    versions = re.findall(r"Python :: (3\.\d+)", project)
    assert f'requires-python = ">={versions[0]}"' in project
    assert f'pythonVersion = "{versions[0]}"' in project
    assert f'target-version = "py{versions[0].replace(".", "")}"' in project
    assert f"Python {versions[0]} to {versions[-1]}" in read("README.md")


@pytest.mark.parametrize("room", ROOMS)
def test_there_are_no_links(room: str):
    """They break where an archive or a file system knows none, and carry folders into a wheel."""
    paths = list((REPOSITORY / room).rglob("*"))
    assert paths
    assert [path for path in paths if path.is_symlink()] == []
