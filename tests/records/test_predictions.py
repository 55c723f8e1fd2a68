"""A run's predictions, one row per test image."""

import csv
from pathlib import Path

import numpy as np
import pytest

from cfa_lab.errors import UserError
from cfa_lab.records.predictions import read_predictions, write_predictions

GOOD = {"path": "test/good/1.png", "label": 0, "defect": "good", "score": 0.1, "decision": None}
CUT = {"path": "test/cut/0.png", "label": 1, "defect": "cut", "score": 0.75, "decision": 1}

HEAD = "path,label,defect,score,decision,normal_percentile,defect_area"


def test_predictions_are_sorted_by_path_and_keep_every_bit(tmp_path: Path):
    score = np.float32(1) / np.float32(3)
    strange = {"path": 'test/a, "b"/ü.png', "label": np.int64(1), "defect": "a", "score": score}
    write_predictions(tmp_path, [GOOD, CUT, {**strange, "decision": np.bool_(False)}])
    path = tmp_path / "predictions.csv"
    assert (
        path.read_bytes().splitlines()[0]
        == b"path,label,defect,score,decision,normal_percentile,defect_area"
    )
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["path"] for r in rows] == ['test/a, "b"/ü.png', "test/cut/0.png", "test/good/1.png"]
    assert [r["decision"] for r in rows] == ["0", "1", ""]
    assert [r["label"] for r in rows] == ["1", "1", "0"]
    assert float(rows[0]["score"]) == float(score)


def test_predictions_are_written_completely_or_not_at_all(tmp_path: Path):
    write_predictions(tmp_path, [])
    path = tmp_path / "predictions.csv"
    assert path.read_text() == f"{HEAD}\n"
    with pytest.raises(TypeError):
        write_predictions(tmp_path, [CUT, {**GOOD, "score": None}])
    assert path.read_text() == f"{HEAD}\n"
    assert list(tmp_path.iterdir()) == [path]


def test_predictions_are_read_as_they_were_written(tmp_path: Path):
    assert read_predictions(tmp_path) == []
    third = np.float32(1) / np.float32(3)
    more = {"normal_percentile": 97.5, "defect_area": 12}
    write_predictions(tmp_path, [GOOD, CUT | {"score": third} | more])
    assert read_predictions(tmp_path) == [
        CUT | {"score": float(third)} | more,
        GOOD | dict.fromkeys(more),
    ]


def test_tables_of_before_there_were_percentiles_are_read(tmp_path: Path):
    (tmp_path / "predictions.csv").write_text("path,label,defect,score,decision\na.png,1,cut,2,\n")
    (row,) = read_predictions(tmp_path)
    assert (row["score"], row["normal_percentile"], row["defect_area"]) == (2.0, None, None)


@pytest.mark.parametrize(
    "content", [b"path,score\na,1\n", b"\xff\xfe", b"path,label,defect,score,decision\na,b"]
)
def test_damaged_predictions_are_told(tmp_path: Path, content: bytes):
    (tmp_path / "predictions.csv").write_bytes(content)
    with pytest.raises(UserError, match="no table of a run's predictions"):
        read_predictions(tmp_path)
