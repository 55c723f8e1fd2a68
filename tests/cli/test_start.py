"""What is quick stays quick: questions are answered without the import of torch."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.tiny import TINY_RUN

from cfa_lab.cli.arguments import expanded
from cfa_lab.cli.command import CONFIGURED, PLAN, SUBCOMMANDS, versions
from cfa_lab.config import conf_dir

MOST_SECONDS = 1.2
WITHOUT = """
import sys
from cfa_lab.cli import main
sys.argv[1:] = {arguments!r}
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
loaded = {{"torch", "timm", "numba", "sklearn", "matplotlib", "wandb"}} & set(sys.modules)
assert not loaded, loaded
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["plan", "experiment=quickstart", "tracker=none"],
        ["doctor", "dataset=toy", "--names"],
        ["explain", "loss.K"],
        ["predict", "--help"],
    ],
    ids=" ".join,
)
def test_a_question_brings_no_torch(arguments: list[str], tmp_path: Path):
    asked = [sys.executable, "-c", WITHOUT.format(arguments=arguments)]
    found = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    assert found.stdout


def test_a_study_with_finished_runs_is_planned_without_torch(
    tmp_path: Path, tiny_root: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CFA_LAB_CACHE", str(tmp_path / "features"))
    settings = [*TINY_RUN, f"dataset.root={tiny_root}"]
    command = [sys.executable, "-m", "cfa_lab", "-m", *settings]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr
    asked = WITHOUT.format(arguments=["plan", *settings, "seed=0,1"])
    found = subprocess.run(
        [sys.executable, "-c", asked], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr
    assert [line.split()[1] for line in found.stdout.splitlines()[1:]] == ["done", "new"]
    asked = WITHOUT.format(arguments=command[3:])  # nor is any needed to take it for done
    found = subprocess.run(
        [sys.executable, "-c", asked], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr
    assert "1 jobs: 1 reused" in found.stdout


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="processor time cannot be told here")
def test_help_takes_little_of_the_processor(tmp_path: Path):
    """What it would take on a machine that does nothing else; the least of three tries."""
    command = [sys.executable, "-m", "cfa_lab", "--help"]
    spent = []
    for _ in range(3):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        spent.append(used.ru_utime + used.ru_stime)
    assert min(spent) < MOST_SECONDS


@pytest.mark.parametrize("word", [PLAN, *SUBCOMMANDS, *CONFIGURED])
def test_every_subcommand_stands_in_the_help_and_has_its_own(
    word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    from cfa_lab.cli.command import main

    text = (conf_dir() / "hydra" / "help" / "cfa_lab.yaml").read_text()
    assert re.search(rf"  {word}  +\w|  {word} for", text)
    monkeypatch.setattr(sys, "argv", ["cfa_lab", word, "--help"])
    try:
        main()
    except SystemExit as end:
        assert not end.code
    out = capsys.readouterr().out
    assert out.startswith("usage:")
    assert f"cfa_lab {word}" in out


def test_versions_name_ours_and_those_that_matter():
    text = versions()
    assert text.startswith("cfa_lab ")
    assert ", torch " in text
    assert ", Hydra " in text


def test_a_tilde_behind_a_key_of_a_path_is_the_home_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded("dataset.root=~/data") == "dataset.root=/home/me/data"
    assert expanded("hydra.run.dir=~") == "hydra.run.dir=/home/me"
    for other in ("dataset.root=a~/b", "category=~/x", "~loss.K", "dataset.root=~other/x"):
        assert expanded(other) == other
