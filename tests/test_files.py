"""Files and folders that are whole or absent, and what killed processes left of them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cfa_lab.files import STALE_SECONDS, draft_of, remove_partials, replacing, write_atomically

KILLED = """
import os, signal, sys
from pathlib import Path
from cfa_lab.files import draft_of

with draft_of(Path(sys.argv[1])) as draft:
    (draft / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_draft_becomes_the_folder_or_goes(tmp_path: Path):
    with draft_of(tmp_path / "deep" / "set") as draft:
        (draft / "a").write_text("a")
        draft.rename(tmp_path / "deep" / "set")
    with pytest.raises(RuntimeError), draft_of(tmp_path / "deep" / "other") as draft:
        raise RuntimeError
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["set"]


def test_what_a_killed_process_left_goes_with_the_next_and_a_live_ones_stays(tmp_path: Path):
    target = tmp_path / "set"
    subprocess.run([sys.executable, "-c", KILLED, str(target)])
    (left,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert (left / "half").is_file()
    older = tmp_path / f".set.{'0' * 32}"  # as versions without locks left them
    older.mkdir()
    own = [tmp_path / f".set.{'0' * 31}", tmp_path / ".settings", tmp_path / f".seta.{'0' * 32}"]
    for path in own:
        path.mkdir()
    with draft_of(target) as live:
        assert not left.exists() and not older.exists()
        with draft_of(target):
            assert live.is_dir()
    assert sorted(tmp_path.iterdir()) == sorted(own)


def test_partials_go_at_once_or_where_others_write_when_they_are_old(tmp_path: Path):
    for name in ("old", "new"):
        (tmp_path / f".{name}.7.partial").write_text("half")
    before = time.time() - 2 * STALE_SECONDS
    os.utime(tmp_path / ".old.7.partial", (before, before))
    remove_partials(tmp_path, older_than=STALE_SECONDS)
    assert [path.name for path in tmp_path.iterdir()] == [".new.7.partial"]
    with replacing(tmp_path / "new") as partial:
        partial.write_text("whole")
    remove_partials(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_name_as_long_as_file_systems_allow_can_be_replaced(tmp_path: Path):
    names = ["x" * 251 + ".csv", "ß" * 125 + ".csv"]
    for name in names:
        write_atomically(tmp_path / name, name)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {n: n for n in names}
