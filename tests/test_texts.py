"""Texts, JSON and YAML from anywhere are bounded, and read in one place."""

import os
import re
import socket
from pathlib import Path

import pytest

import cfa_lab
from cfa_lab import texts
from cfa_lab.errors import UserError
from cfa_lab.texts import (
    parse_json,
    read_bytes,
    read_json,
    read_text,
    read_yaml,
    refuse_endless_yaml,
)

PACKAGE = Path(cfa_lab.__file__).parent


def refused(path: Path, read=read_text) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(str(path))
    return line


def test_a_text_is_read_as_python_reads_it(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes("ä\r\nb\rc\n".encode())
    assert read_text(path) == path.read_text(encoding="utf-8") == "ä\nb\nc\n"
    assert read_bytes(path) == "ä\r\nb\rc\n".encode()
    path.write_bytes(b"")
    assert read_text(path, most=0) == ""
    path.write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        read_text(path)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "gone")
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path)


def test_a_text_has_at_most_as_many_bytes(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("12345")
    assert read_text(path, most=5) == "12345"
    with pytest.raises(UserError, match=r"has more than 4 bytes; nothing of its kind"):
        read_text(path, most=4)


def test_what_is_no_file_is_never_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)  # names of sockets are short
        listening.bind("socket")
        kinds = {"pipe": "pipe", "link": "pipe", "endless": "device", "socket": "socket"}
        for name, kind in kinds.items():
            for read in (read_text, read_json, read_yaml, refuse_endless_yaml):
                assert f"is a {kind} and no file" in refused(tmp_path / name, read)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        read_text(tmp_path / "loop")


def test_json_that_is_too_deep_is_damaged_json():
    assert parse_json('{"a": [1, null]}') == {"a": [1, None]}
    for text in ("[" * 100_000, "{", "1" * 10_000):
        with pytest.raises(ValueError):
            parse_json(text)


GROWING = """
a: &a [x, x, x, x]
b: &b [*a, *a, *a, *a]
c: &c [*b, *b, *b, *b]
d: [*c, *c, *c, *c]
"""
MERGED = """
a: &a {x: 1, y: 2}
b: &b {<<: [*a, *a, *a, *a, *a, *a, *a, *a]}
c: {<<: [*b, *b, *b, *b, *b, *b, *b, *b]}
"""
LONG = f"a: &a {'x' * 60}\nb: [*a, *a, *a, *a]\n"
"""Each stands for a few hundred characters, and means nothing by itself."""


@pytest.mark.parametrize("text", [GROWING, MERGED, LONG])
def test_repetitions_count_as_what_they_stand_for(tmp_path: Path, text: str, monkeypatch):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    assert read_yaml(path)["a"]
    refuse_endless_yaml(path)
    monkeypatch.setattr(texts, "MOST_CHARACTERS_OF_YAML", len(text) + 20)
    for read in (read_yaml, refuse_endless_yaml):
        assert "once its repetitions (&, *) are written out" in refused(path, read)


def test_the_count_is_what_the_values_have_written_out(tmp_path: Path, monkeypatch):
    """One for each list, mapping and value, and one for each of its characters."""
    path = tmp_path / "a.yaml"
    path.write_text("a: &a [xy, z]\nb: *a\n")
    size = 1 + (1 + 1) + (1 + 3 + 2) + (1 + 1) + (1 + 3 + 2)
    monkeypatch.setattr(texts, "MOST_CHARACTERS_OF_YAML", max(size, path.stat().st_size))
    assert read_yaml(path) == {"a": ["xy", "z"], "b": ["xy", "z"]}
    path.write_text("a: &a [xy, z]\nb: *a\nc: d")
    assert size + 4 > texts.MOST_CHARACTERS_OF_YAML < path.stat().st_size
    refused(path, read_yaml)


def test_what_repeats_itself_or_lies_too_deep_is_refused(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.yaml"
    for text in ("a: &a [*a]", "&a {x: {y: *a}}"):
        path.write_text(text)
        assert "repeats *a inside itself" in refused(path, read_yaml)
    path.write_text("[[[[1]]]]")
    monkeypatch.setattr(texts, "DEEPEST", 4)
    assert read_yaml(path) == [[[[1]]]]
    monkeypatch.setattr(texts, "DEEPEST", 3)
    assert "over 3 lists and mappings inside each other" in refused(path, read_yaml)
    assert "over 3 lists and mappings" in refused(path, refuse_endless_yaml)


@pytest.mark.parametrize(
    "content", [b"a: [", b"\xff\x00- [", b"a: *b", b"!!python/none x", b"\x00"]
)
def test_what_is_no_yaml_is_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    assert "is no YAML" in refused(path, read_yaml)


def test_an_expression_stays_text(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text("a: ${oc.env:HOME}${b}\nb: ${a}")
    assert read_yaml(path) == {"a": "${oc.env:HOME}${b}", "b": "${a}"}
    path.write_text("")
    assert read_yaml(path) is None


READERS = r"json\.loads?\(|yaml\.\w*load\(|OmegaConf\.load\(|\.read_text\("
OWN = {
    "bench": "what our own programs print",
    "cli/cache.py": "the package's own settings",
    "cli/explain.py": "the package's own settings",
    "config/presets.py": "the package's own settings",
    "deploy/view/guard.py": "a call of bounded length",
    "launch/slurm": "what our own jobs leave",
    "records/environment.py": "/proc",
    "report/charts/svg_files.py": "the package's own files",
    "report/page/page.py": "the package's own files",
    "report/page/runs.py": "what it has written itself",
    "run/recorded.py": "the package's own settings",
    "texts.py": "the readers themselves",
    "tracking/merged.py": "values in records of wandb's, which are checked",
    "tracking/wandb_helper.py": "what wandb's helper logs beside us",
}
"""Where files and texts are parsed without `cfa_lab.texts`, and whose they are."""


def test_nobody_else_parses_what_may_come_from_anywhere():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if re.search(READERS, path.read_text(encoding="utf-8")):
            name = path.relative_to(PACKAGE).as_posix()
            found.add(next((own for own in OWN if name.startswith(own)), name))
    assert found == {*OWN}
