"""What the machine refuses is one line with how to go on, never a traceback."""

import errno
import os
from pathlib import Path

import pytest

from cfa_lab.cli.messages import of_the_machine, report


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


def test_memory_is_told_and_what_is_our_own_mistake_is_not_hidden(tmp_path: Path):
    assert "features.memory_gb" in (of_the_machine(MemoryError(), tmp_path) or "")
    assert of_the_machine(ValueError("ours"), tmp_path) is None
    with pytest.raises(ValueError, match="ours"):
        report(ValueError("ours"), tmp_path)
