"""What README and docs print can be typed: Python runs, commands name what there is."""

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.printed import printed, snippets
from PIL import Image

from cfa_lab.cli.command import CONFIGURED, PLAN, SUBCOMMANDS, compose, main
from cfa_lab.config import Config
from cfa_lab.run.run import run

OTHERS = ("bench",)  # each comparison has flags of its own, which its tests know
START = re.compile(r"(?:[A-Z_]+=\S+ )?python -m cfa_lab ")


def commands() -> Iterator[tuple[str, str]]:
    """Document and the rest of each command after `python -m cfa_lab`."""
    for document, command in printed():
        if found := START.match(command):
            yield document, command[found.end() :]


def is_placeholder(word: str) -> bool:
    """What stands for the reader's own: `<file>`, `...`, `[...]`."""
    return any(sign in word for sign in ("<", "...", "mine", "package.module", "key=value"))


def one_value(word: str) -> str:
    """A setting of a multirun with the first of its values."""
    key, equals, value = word.partition("=")
    if not equals or value[:1] in "'\"[" or "(" in value:
        return word
    return f"{key}={value.partition(',')[0]}"


def is_range(word: str) -> bool:
    """A setting that a search draws from."""
    return bool(re.search(r"=(range|interval|choice|tag)\(", word))


def test_the_library_snippet_of_the_readme_runs():
    (code,) = snippets("README.md")
    exec(compile(code, "README.md", "exec"), {})


def test_the_snippet_about_trained_detectors_runs(
    tiny_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (code,) = snippets("docs/deploy.md")
    run(tiny_config("trainer.epochs=1", "dataset.validation_fraction=0.2"), tmp_path / "RUN")
    Image.new("RGB", (48, 40), (90, 120, 60)).save(tmp_path / "part.png")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/deploy.md", "exec"), {})


@pytest.mark.parametrize(
    "words", [pytest.param(w, id=f"{d}: {w}"[:90]) for d, w in dict.fromkeys(commands())]
)
def test_a_printed_command_can_be_typed(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    arguments = [word for word in shlex.split(words) if not is_placeholder(word)]
    first = arguments[0] if arguments else ""
    if first.isupper() or first in OTHERS or "-sc" in arguments:
        return
    if first in {*SUBCOMMANDS, *CONFIGURED} and first != "doctor":
        monkeypatch.setattr(sys, "argv", ["cfa_lab", first, "--help"])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        known = capsys.readouterr().out
        for flag in (word.partition("=")[0] for word in arguments if word.startswith("--")):
            assert flag in known, f"{first} has no {flag}"
        return
    settings = [one_value(word) for word in arguments[first in (PLAN, "doctor") :]]
    settings = [s for s in settings if "=" in s and not s.startswith(("-", "hydra", "+hydra"))]
    settings = [
        s
        for s in settings
        if not is_range(s) and s not in ("category=all",) and not s.startswith("resume=")
    ]
    if first and "=" not in first and not first.startswith("-"):
        assert first in (PLAN, "doctor"), f"{first} is no sub-command"
    compose(settings)
