"""One parser of a run's history, seen as rows, as columns and as a trace; and its evaluations."""

import csv
import math
from itertools import pairwise
from pathlib import Path

import pytest

from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.history import (
    HISTORY_COLUMNS,
    NUM_POINTS,
    SOLVED_COLUMNS,
    Row,
    count_steps,
    read_columns,
    read_epochs,
    read_evaluations,
    read_history,
    read_trace,
    write_evaluations,
    write_history,
)

HEADER = (
    "epoch,step,train/loss,train/attraction,train/repulsion,train/radius,"
    "train/active_attraction,train/active_repulsion"
)
EPOCHS = "epoch,test/image_auroc,test/aupro_30\n0,0.5,\n1,0.75,0.25\n"


def make_rows(num_steps: int) -> list[Row]:
    values = [(s // 7, s, 1 / (s + 3), 0.1, -0.0, s * 1e-5, 1.0, 0.25) for s in range(num_steps)]
    return [dict(zip(HISTORY_COLUMNS, row, strict=True)) for row in values]


def write_text(folder: Path, text: str) -> Path:
    (folder / names.HISTORY).write_text(text)
    return folder


@pytest.mark.parametrize(
    "num_steps", [0, 1, 2, NUM_POINTS - 1, NUM_POINTS, NUM_POINTS + 1, 999, 1000]
)
def test_all_views_show_what_was_written(tmp_path: Path, num_steps: int):
    rows = make_rows(num_steps)
    write_history(tmp_path, rows)
    assert read_history(tmp_path) == rows
    assert all(isinstance(row[name], int) for row in rows for name in ("epoch", "step"))
    columns = read_columns(tmp_path, ["train/radius", "step"])
    assert columns == [[row["train/radius"] for row in rows], [row["step"] for row in rows]]
    assert count_steps(tmp_path) == num_steps
    trace = read_trace(tmp_path)
    if not rows:
        assert trace == {}
        return
    assert tuple(trace) == HISTORY_COLUMNS
    kept = [int(step) for step in trace["step"]]
    assert (kept[0], kept[-1], len(kept)) == (0, num_steps - 1, min(num_steps, NUM_POINTS))
    gaps = {after - before for before, after in pairwise(kept)}
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert trace == {name: [rows[step][name] for step in kept] for name in HISTORY_COLUMNS}


def test_a_history_of_a_solved_descriptor_has_a_column_more_in_every_view(tmp_path: Path):
    (row,) = make_rows(1)
    row |= {SOLVED_COLUMNS[-1]: 0.05}
    write_history(tmp_path, [row], SOLVED_COLUMNS)
    assert read_history(tmp_path) == [row]
    assert read_columns(tmp_path, ["train/radius"]) == [[row["train/radius"]]]
    assert read_trace(tmp_path) == {name: [value] for name, value in row.items()}
    assert count_steps(tmp_path) == 1


def test_wherever_a_crash_tears_the_file_only_whole_lines_are_read(tmp_path: Path):
    write_history(tmp_path, rows := make_rows(3))
    content = (tmp_path / names.HISTORY).read_bytes()
    for size in range(len(HEADER) + 1, len(content) + 1):
        (tmp_path / names.HISTORY).write_bytes(content[:size])
        whole = rows[: content[:size].count(b"\n") - 1]
        losses = [row["train/loss"] for row in whole]
        assert read_history(tmp_path) == whole
        assert count_steps(tmp_path) == len(whole)
        assert read_columns(tmp_path, ["train/loss"]) == [losses]
        assert read_trace(tmp_path).get("train/loss", []) == losses


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has the columns ''"),
        (HEADER, "has the columns ''"),
        ("epoch,loss\n0,1\n", "has the columns 'epoch,loss'"),
        (HEADER + "\n0,0,1,1,1,1,1\n", "line 2 is damaged"),
        (HEADER + "\n0,0,1,1,1,1,1,1,1\n", "line 2 is damaged"),
        (HEADER + "\n0,0,1,1,1,1,1,1\n0,1,x,1,1,1,1,1\n", "line 3 is damaged"),
        (HEADER + "\n0,0.5,1,1,1,1,1,1\n", "line 2 is damaged"),
    ],
)
def test_a_history_of_another_kind_is_refused_in_one_line(tmp_path: Path, text, complaint):
    write_text(tmp_path, text)
    with pytest.raises(UserError, match=complaint) as error:
        read_history(tmp_path)
    assert "\n" not in str(error.value)
    assert read_columns(tmp_path, ["epoch", "step", "train/loss"]) is None


def test_a_trace_passes_over_damaged_lines_and_damaged_files(tmp_path: Path):
    write_text(tmp_path, HEADER + "\n0,0,1,1,1,1,1,1\n0,1,x,1,1,1,1,1\n0,2,1,1,1,1,1,1\n")
    assert read_trace(tmp_path)["step"] == [0, 2]
    assert read_trace(write_text(tmp_path, HEADER + "\n0,1,x,1,1,1,1,1\n")) == {}
    assert read_trace(write_text(tmp_path, "other,columns\n1,2\n")) == {}
    (tmp_path / names.HISTORY).write_bytes(b"\xff\xfe")
    assert read_trace(tmp_path) == {}
    assert read_columns(tmp_path, ["step"]) is None


def test_a_run_without_a_history_has_no_steps(tmp_path: Path):
    assert read_history(tmp_path) == []
    assert count_steps(tmp_path) == 0
    assert read_trace(tmp_path) == {}
    assert read_columns(tmp_path, ["step"]) is None


def test_nan_and_infinity_are_numbers_of_a_history(tmp_path: Path):
    row = make_rows(1)[0] | {"train/loss": math.nan, "train/radius": -math.inf}
    write_history(tmp_path, [row])
    (found,) = read_history(tmp_path)
    assert math.isnan(found["train/loss"])
    assert found["train/radius"] == -math.inf


def test_evaluations_come_back_by_epoch_and_by_metric(tmp_path: Path):
    assert (read_evaluations(tmp_path), read_epochs(tmp_path)) == ([], {})
    rows = [
        {"epoch": 0, "test/image_auroc": 0.1 + 0.2, "test/aupro_30": None},
        {"epoch": 4, "test/image_auroc": 0.75, "test/aupro_30": 0.25},
    ]
    write_evaluations(tmp_path, rows)
    assert read_evaluations(tmp_path) == rows
    assert read_epochs(tmp_path) == {
        "test/image_auroc": {0: 0.1 + 0.2, 4: 0.75},
        "test/aupro_30": {4: 0.25},
    }
    with (tmp_path / names.EVALUATIONS).open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "4"]


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\n", b"\xff\xfe", b"loss,epoch\n1,0\n", b"epoch,a\n0,1,2\n", b"epoch,a\n0\n"),
        *(b"epoch,a\nx,1\n", b"epoch,a\n0,x\n", b"epoch,a\n\n", b"epoch,a\n0.5,1\n"),
    ],
)
def test_damaged_evaluations_are_told_in_one_line_and_make_no_curve(tmp_path: Path, content):
    (tmp_path / names.EVALUATIONS).write_bytes(content)
    with pytest.raises(UserError, match="is damaged") as error:
        read_evaluations(tmp_path)
    assert "\n" not in str(error.value)
    assert read_epochs(tmp_path) == {}


def test_evaluations_without_a_row_are_none(tmp_path: Path):
    (tmp_path / names.EVALUATIONS).write_text(EPOCHS.splitlines()[0] + "\n")
    assert (read_evaluations(tmp_path), read_epochs(tmp_path)) == ([], {})
