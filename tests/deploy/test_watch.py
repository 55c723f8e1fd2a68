import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from cfa_lab.deploy.table import read_predictions
from cfa_lab.deploy.watch import Arrivals, run
from cfa_lab.errors import UserError

SETTLE = 0.4


def test_a_file_is_complete_once_it_stands_still(tmp_path):
    arrivals = Arrivals(tmp_path, settle=1.0, done=set())
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    assert arrivals.complete(100.0) == []
    assert arrivals.complete(100.9) == []
    path.write_bytes(b"12")
    assert arrivals.complete(101.5) == []
    assert arrivals.complete(102.4) == []
    assert arrivals.complete(102.5) == [path]


def test_the_same_size_with_another_time_is_still_being_written(tmp_path):
    arrivals = Arrivals(tmp_path, settle=1.0, done=set())
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    arrivals.complete(100.0)
    os.utime(path, ns=(1, 1))
    assert arrivals.complete(101.0) == []
    assert arrivals.complete(102.0) == [path]


def test_empty_hidden_and_other_files_are_no_images(tmp_path):
    for name in ("empty.png", ".hidden.png", "a.png.part", "notes.txt"):
        (tmp_path / name).write_bytes(b"" if name == "empty.png" else b"1")
    arrivals = Arrivals(tmp_path, settle=0.0, done=set())
    assert arrivals.complete(100.0) == arrivals.complete(101.0) == []


def test_what_is_done_is_left_until_its_file_is_another(tmp_path):
    path = tmp_path / "sub" / "a.png"
    path.parent.mkdir()
    path.write_bytes(b"1")
    done = {(str(path), path.stat().st_mtime_ns)}
    arrivals = Arrivals(tmp_path, settle=0.0, done=done)
    assert arrivals.complete(100.0) == []
    os.utime(path, ns=(5, 5))
    assert arrivals.complete(100.0) == [path]


def test_a_missing_folder_and_a_negative_time_are_told(tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        run(None, tmp_path / "none", None, settle=1.0)  # pyright: ignore
    with pytest.raises(UserError, match="--settle"):
        run(None, tmp_path, None, settle=-1.0)  # pyright: ignore


@contextmanager
def watching(run_folder: Path, tmp_path: Path):
    """A real process that watches `in`; its standard output and error are files."""
    command = [sys.executable, "-m", "cfa_lab", "predict", str(run_folder), "--out", "out"]
    out, err = (tmp_path / "lines").open("a"), (tmp_path / "told").open("w")
    process = subprocess.Popen(
        [*command, "--watch", "in", "--settle", str(SETTLE)], cwd=tmp_path, stdout=out, stderr=err
    )
    try:
        wait_until(lambda: "watching" in (tmp_path / "told").read_text())
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        out.close()
        err.close()


def wait_until(holds, seconds=180.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_files_that_come_by_copy_by_rename_and_slowly_are_scored_once_each(
    tiny_run, tiny_root, tmp_path
):
    source = tiny_root / "square" / "test" / "good" / "000.png"
    inbox, lines = tmp_path / "in", tmp_path / "lines"
    inbox.mkdir()
    shutil.copy(source, inbox / "before.png")

    def told():
        return [json.loads(line) for line in lines.read_text().splitlines()]

    with watching(tiny_run, tmp_path):
        shutil.copy(source, inbox / "copied.png")
        shutil.copy2(source, tmp_path / "moved.png")
        (tmp_path / "moved.png").rename(inbox / "moved.png")
        content = source.read_bytes()
        end = len(content) - 3  # decodes without these: PNG's last chunk holds no pixels
        with (inbox / "slow.png").open("wb") as file:
            for start, stop in ((0, 200), (200, end // 2), (end // 2, end), (end, None)):
                file.write(content[start:stop])
                file.flush()
                time.sleep(SETTLE * 1.5)  # longer than a file takes to count as complete
        wait_until(lambda: len(told()) >= 4)
        time.sleep(3 * SETTLE)
    with watching(tiny_run, tmp_path):  # begun again it knows what is done
        (inbox / "bad.png").write_bytes(b"no image")
        shutil.copy(source, inbox / "later.png")
        wait_until(lambda: len(told()) >= 6)
    rows = told()
    names = sorted(Path(row["path"]).name for row in rows)
    assert names == sorted(
        f"{n}.png" for n in ("before", "copied", "moved", "slow", "bad", "later")
    )
    bad = next(row for row in rows if "bad.png" in row["path"])
    assert "error" in bad and "score" not in bad
    assert len({row["score"] for row in rows if row is not bad}) == 1
    assert len(read_predictions(tmp_path / "out" / "predictions.csv")) == 6
