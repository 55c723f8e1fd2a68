import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfa_lab.records.history import HISTORY_COLUMNS, read_history
from cfa_lab.tracking import HistoryFile

HEADER = (
    "epoch,step,train/loss,train/attraction,train/repulsion,train/radius,"
    "train/active_attraction,train/active_repulsion"
)


def row(step: int, *, loss: float = 0.5) -> dict[str, float]:
    terms = dict.fromkeys(HISTORY_COLUMNS[2:], 0.1)
    return {"epoch": step // 10, "step": step, **terms, "train/loss": loss}


def write_history(folder: Path, num_steps: int, *, first_step: int = 0) -> None:
    with HistoryFile(folder, first_step=first_step) as tracker:
        for step in range(first_step, num_steps):
            tracker.log_step(row(step, loss=1 / (step + 3)))


def test_history_has_the_agreed_header_once_and_one_row_per_step(tmp_path):
    write_history(tmp_path / "new" / "run", 3)
    lines = (tmp_path / "new" / "run" / "history.csv").read_text().splitlines()
    assert lines[0] == HEADER
    assert lines[1:] == [f"0,{step},{1 / (step + 3)!r},0.1,0.1,0.1,0.1,0.1" for step in range(3)]


@given(st.lists(st.floats(allow_nan=False), min_size=6, max_size=6))
def test_history_gives_back_every_float64(tmp_path_factory, terms):
    folder = tmp_path_factory.mktemp("run")
    given_row = {"epoch": 0, "step": 0} | dict(zip(HISTORY_COLUMNS[2:], terms, strict=True))
    with HistoryFile(folder) as tracker:
        tracker.log_step(given_row)
    assert read_history(folder) == [given_row]


def test_history_takes_numpy_numbers_and_nan(tmp_path):
    with HistoryFile(tmp_path) as tracker:
        tracker.log_step(row(0) | {"epoch": np.int64(0), "train/radius": np.float32(0.1)})
        tracker.log_step(row(1, loss=math.nan))
    first, second = read_history(tmp_path)
    assert first["train/radius"] == float(np.float32(0.1))
    assert math.isnan(second["train/loss"])


def test_a_row_is_on_disk_while_the_file_is_still_open(tmp_path):
    with HistoryFile(tmp_path) as tracker:
        assert read_history(tmp_path) == []
        tracker.log_step(row(0))
        assert read_history(tmp_path) == [row(0)]


def test_a_row_without_a_column_is_refused(tmp_path):
    incomplete = row(0)
    del incomplete["train/radius"]
    with HistoryFile(tmp_path) as tracker, pytest.raises(KeyError, match="train/radius"):
        tracker.log_step(incomplete)


@pytest.mark.parametrize("first_step", [1, 12, 25])
def test_a_resumed_history_equals_an_uninterrupted_one(tmp_path, first_step):
    write_history(tmp_path / "whole", 40)
    write_history(tmp_path / "resumed", 25)
    write_history(tmp_path / "resumed", 40, first_step=first_step)
    resumed, whole = (tmp_path / name / "history.csv" for name in ("resumed", "whole"))
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_run_that_starts_again_at_step_zero_forgets_the_old_history(tmp_path):
    write_history(tmp_path, 5)
    write_history(tmp_path, 2)
    assert [r["step"] for r in read_history(tmp_path)] == [0, 1]


def test_a_last_line_that_a_crash_tore_off_is_dropped(tmp_path, caplog):
    write_history(tmp_path, 4)
    path = tmp_path / "history.csv"
    path.write_bytes(path.read_bytes()[:-3])  # the number left over would be a wrong one
    assert [r["step"] for r in read_history(tmp_path)] == [0, 1, 2]
    write_history(tmp_path, 6, first_step=4)
    assert [r["step"] for r in read_history(tmp_path)] == [0, 1, 2, 4, 5]
    assert "3 of the 4 steps" in caplog.text


def test_a_resumed_run_without_its_history_says_so(tmp_path, caplog):
    write_history(tmp_path, 6, first_step=4)
    assert [r["step"] for r in read_history(tmp_path)] == [4, 5]
    assert "0 of the 4 steps" in caplog.text


def test_evaluations_are_a_file_of_their_own_only_where_there_are_any(tmp_path):
    write_history(tmp_path, 3)
    assert not (tmp_path / "evaluations.csv").exists()
    with HistoryFile(tmp_path) as tracker:
        tracker.log_evaluation(0, {"test/image_auroc": 0.5, "test/pixel_auroc": None})
        tracker.log_evaluation(1, {"test/image_auroc": np.float64(0.6), "test/aupro_30": 0.25})
    assert (tmp_path / "evaluations.csv").read_text().splitlines() == [
        "epoch,test/image_auroc,test/pixel_auroc,test/aupro_30",
        "0,0.5,,",
        "1,0.6,,0.25",
    ]


def test_a_resumed_run_repeats_the_evaluations_after_its_first_step(tmp_path):
    def run(first_step: int, num_steps: int, *, value: float) -> None:
        with HistoryFile(tmp_path, first_step=first_step) as tracker:
            for step in range(first_step, num_steps):
                tracker.log_step(row(step))
                if step % 10 == 9:
                    tracker.log_evaluation(step // 10, {"test/image_auroc": value + step})

    run(0, 30, value=0.5)
    run(20, 30, value=0.25)
    with (tmp_path / "evaluations.csv").open() as file:
        assert [tuple(r.values()) for r in csv.DictReader(file)] == [
            ("0", "9.5"),
            ("1", "19.5"),
            ("2", "29.25"),
        ]
    run(0, 5, value=0.0)
    assert not (tmp_path / "evaluations.csv").exists()
