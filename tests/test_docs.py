"""Documents name files and modules that are there."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path
    for pattern in ("*.md", "docs/*.md", "experiments/*.md")
    for path in sorted(ROOT.glob(pattern))
    if path.name != "CHANGELOG.md"  # tells of what was there
]
FILE = re.compile(r"`((?:cfa_lab|conf|docs|experiments|hydra_plugins|tests)/[\w./-]*)`")
MODULE = re.compile(r"\b(?:from|import) (cfa_lab[\w.]*)(?: import ([\w, ]+))?")

EVERY_DOCUMENT = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)


@EVERY_DOCUMENT
def test_files_named_in_documents_exist(document: Path):
    for name in FILE.findall(document.read_text(encoding="utf-8")):
        if "NAME" not in name:  # the reader's own
            assert (ROOT / name).exists(), name


@EVERY_DOCUMENT
def test_links_between_documents_lead_somewhere(document: Path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


@EVERY_DOCUMENT
def test_imports_shown_in_documents_work(document: Path):
    for name, things in MODULE.findall(document.read_text(encoding="utf-8")):
        module = importlib.import_module(name)
        for thing in filter(None, map(str.strip, things.split(","))):
            assert hasattr(module, thing), f"{name}.{thing}"
