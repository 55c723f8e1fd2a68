"""What the machine refuses is one line with how to go on, never a traceback."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.synthetic import write_study
from helpers.tiny import TINY_RUN

from cfa_lab.cli import command
from cfa_lab.cli.command import CONFIGURED, PLAN, SUBCOMMANDS
from cfa_lab.cli.messages import of_the_machine, report
from cfa_lab.cli.task import remove_if_empty


def refusal(code: int, path: Path) -> OSError:
    return OSError(code, os.strerror(code), str(path))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "is full; make room"),
        (errno.EDQUOT, "is full; make room"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EACCES, "history.csv: Permission denied"),
        (errno.EPERM, "history.csv: Operation not permitted"),
        (errno.EROFS, "history.csv: Read-only file system"),
        (errno.ESTALE, "history.csv: Stale file handle"),
        (errno.EIO, "history.csv: Input/output error"),
    ],
)
def test_limits_and_places_are_one_line_with_how_to_go_on(tmp_path: Path, capsys, code, said):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text("[]")
    with pytest.raises(SystemExit) as end:
        report(refusal(code, tmp_path / "history.csv"), tmp_path)
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert f"python -m cfa_lab resume={tmp_path}" in line


def test_a_folder_that_is_gone_is_named(tmp_path: Path):
    folder = tmp_path / "gone"
    line = of_the_machine(refusal(errno.ENOENT, folder / "history.csv"), folder)
    assert line == (
        f"{folder} is gone: it was moved or deleted while the run went on; start it again"
    )


def test_a_folder_that_another_process_removes_meanwhile_hides_no_message(
    tmp_path: Path, monkeypatch
):
    folder = tmp_path / "outputs" / "2026-01-01" / "10-00-00"
    folder.mkdir(parents=True)
    listed = Path.iterdir

    def gone(path: Path):
        if path == folder.parent:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", gone)
    remove_if_empty(folder)
    assert not folder.exists() and folder.parent.exists()


def test_memory_is_told_and_what_is_our_own_mistake_is_not_hidden(tmp_path: Path):
    assert "features.memory_gb" in (of_the_machine(MemoryError(), tmp_path) or "")
    assert of_the_machine(ValueError("ours"), tmp_path) is None
    with pytest.raises(ValueError, match="ours"):
        report(ValueError("ours"), tmp_path)


@pytest.mark.parametrize("word", [*SUBCOMMANDS, *CONFIGURED, PLAN, "-m", "seed=1"])
def test_a_place_that_cannot_be_written_is_named_with_what_names_another(
    word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Hydra's folders are for runs; a sub-command has an option of its own, or none at all."""

    def refused(arguments: list[str]) -> None:
        raise refusal(errno.EROFS, Path("place"))

    monkeypatch.setattr(command, "_dispatch", refused)
    monkeypatch.delitem(sys.modules, "cfa_lab.cli.multirun", raising=False)
    monkeypatch.setattr("sys.argv", ["cfa_lab", word])
    with pytest.raises(SystemExit):
        command.main()
    line = capsys.readouterr().err
    assert line.startswith("cfa_lab: place: ")
    options = re.findall(r"--\w+", line)
    assert ("hydra.run.dir" in line) == (word in (PLAN, "-m", "seed=1"))
    if word not in SUBCOMMANDS | CONFIGURED or not options:
        return
    monkeypatch.undo()
    monkeypatch.setattr("sys.argv", ["cfa_lab", word, *(["metrics"] * (word == "bench")), "--help"])
    with pytest.raises(SystemExit):
        command.main()
    known = capsys.readouterr().out
    assert all(option in known for option in options)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["seed=0", "hydra.run.dir=file/run"], "choose another hydra.run.dir"),
        (["-m", "seed=0", "hydra.sweep.dir=file/study"], "choose another hydra.sweep.dir"),
        (["report", ".", "--output", "file/page"], "choose another --output"),
    ],
    ids=["a run", "a study", "a report"],
)
def test_the_option_is_that_of_what_was_typed(
    arguments: list[str], said: str, tmp_path: Path, tiny_root: Path
):
    """A file stands where a folder is wanted, which no user may write into, root either."""
    (tmp_path / "file").touch()
    write_study(tmp_path / "runs", categories=1)
    settings = [*TINY_RUN, f"dataset.root={tiny_root}"] if arguments[0] != "report" else []
    done = subprocess.run(
        [sys.executable, "-m", "cfa_lab", *arguments, *settings],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("cfa_lab: ") and last.endswith(said), done.stderr
