"""A run's record: whole or absent, and nothing else is taken for one."""

import json
from pathlib import Path

import pytest

from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.record import read_record, record_of, write_record, write_reuse


def test_a_record_comes_back_as_it_was_written(tmp_path: Path):
    metrics = {"test/image_auroc": 0.1 + 0.2, "test/pixel_auroc": None}
    write_record(tmp_path, status="complete", run_key="k", config={"seed": 1}, metrics=metrics)
    record = read_record(tmp_path)
    assert record is not None
    assert record == record_of(tmp_path)
    assert (record["status"], record["run_key"], record["metrics"]) == ("complete", "k", metrics)
    assert record["oracle"] == record["timing"] == {}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_a_number_that_is_none_leaves_the_record_that_was_there(tmp_path: Path):
    write_record(tmp_path, status="failed", run_key="k", config={}, error="the disk is full")
    with pytest.raises(ValueError, match="JSON"):
        write_record(
            tmp_path, status="complete", run_key="k", config={}, metrics={"test/x": float("nan")}
        )
    assert record_of(tmp_path)["error"] == "the disk is full"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_no_record_is_none(tmp_path: Path):
    assert read_record(tmp_path) is None
    assert read_record(tmp_path / "nowhere") is None
    assert record_of(tmp_path) == {}


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 1,', b"[1, 2]", b"3", b"\xff\xfe"])
def test_what_is_no_record_is_told_in_one_line_or_passed_over(tmp_path: Path, content: bytes):
    (tmp_path / names.RECORD).write_bytes(content)
    with pytest.raises(UserError, match="delete it or run again") as error:
        read_record(tmp_path)
    assert "\n" not in str(error.value)
    assert record_of(tmp_path) == {}


def test_a_reuse_says_from_where_in_a_way_that_moves_along(tmp_path: Path):
    done, other = tmp_path / "a" / "0", tmp_path / "b" / "0"
    done.mkdir(parents=True)
    metrics = {"test/image_auroc": 0.5}
    write_record(done, status="complete", run_key="aa", config={"tracker": 1}, metrics=metrics)
    write_reuse(other, done, record_of(done), {"tracker": 2})
    assert record_of(other) == record_of(done) | {
        "reused_from": "../../a/0",
        "config": {"tracker": 2},
    }
    assert json.loads((done / names.RECORD).read_text())["config"] == {"tracker": 1}
