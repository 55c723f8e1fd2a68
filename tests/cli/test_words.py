import os
import subprocess
import sys
from pathlib import Path

import pytest

from cfa_lab.cli.command import CONFIGURED, PLAN, SUBCOMMANDS, main
from cfa_lab.cli.words import FLAGS, refuse_unknown_flags, unknown_word
from cfa_lab.errors import UserError

KNOWN = (PLAN, *SUBCOMMANDS, *CONFIGURED)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("pedict", "did you mean predict?"),
        ("Predict", "did you mean predict?"),
        ("docter", "did you mean doctor?"),
        ("train", "a run needs no word: python -m cfa_lab category=..."),
        ("resume", "resume=<its folder>"),
        ("sweep", "python -m cfa_lab -m"),
        ("help", "see python -m cfa_lab --help"),
        ("check", "did you mean doctor?"),
    ],
)
def test_a_word_that_is_no_sub_command_is_answered_with_what_is_meant(typed: str, told: str):
    line = unknown_word(typed, KNOWN)
    assert line.startswith(f"{typed!r} is neither") and told in line and "completion" in line
    assert "?" not in unknown_word("xyzzy", KNOWN)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("--seed=3", "unknown option '--seed=3'; settings have no dashes: seed=3; see"),
        ("--epochs", "'--epochs'; settings have no dashes: trainer.epochs=...; see"),
        ("--batch-size=8", "settings have no dashes: trainer.batch_size=8; see"),
        ("--loss.K=1,2", "settings have no dashes: loss.K=1,2; see"),
        ("--xyzzy", "unknown option '--xyzzy'; see python -m cfa_lab --help"),
        ("-x", "unknown option '-x'; see python -m cfa_lab --help"),
    ],
)
def test_a_flag_that_is_a_setting_is_told_in_one_line(typed: str, told: str):
    with pytest.raises(UserError) as caught:
        refuse_unknown_flags(["category=screw", typed])
    assert told in str(caught.value)


def test_flags_of_hydra_are_left_to_it():
    refuse_unknown_flags([*FLAGS, "--multi", "-cjob", "seed=-1", "category=--x", "--cfg=job"])


def test_help_before_a_sub_command_is_its_help(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cfa-lab", "--help", "completion"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert capsys.readouterr().out.startswith("usage: python -m cfa_lab completion")


@pytest.mark.parametrize("word", sorted({*SUBCOMMANDS, *CONFIGURED} - {"bench"}))
def test_arguments_that_a_sub_command_lacks_or_has_not_are_one_line(word: str, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cfa-lab", word, "--nosuch"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"cfa_lab: {word}: ") and f"see python -m cfa_lab {word} --help" in line
    assert "required" in line or "--nosuch" in line


def test_a_pipe_of_ascii_shows_other_letters_as_it_can(tmp_path: Path):
    for place in ("train/good", "test/good"):
        (tmp_path / "größe ねじ" / place).mkdir(parents=True)
        (tmp_path / "größe ねじ" / place / "0.png").touch()
    arguments = ["doctor", "dataset=mvtec", f"dataset.root={tmp_path}", "--names"]
    told = subprocess.run(
        [sys.executable, "-m", "cfa_lab", *arguments],
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert rb"gr\xf6\xdfe \u306d\u3058" in told.stdout and b"Traceback" not in told.stderr
