import pytest

from cfa_lab.deploy.table import COLUMNS, PredictionTable, read_predictions, row_of
from cfa_lab.errors import UserError

ODD = 'a "b",c\nd\u2028.png'


def row(path, modified=1, **more):
    return row_of({"path": path, "modified": modified, "score": 0.1, **more})


def write(folder, *rows, resume=False):
    with PredictionTable(folder, resume=resume) as table:
        for one in rows:
            table.add(one)
    return table


def test_rows_come_back_as_they_were_written(tmp_path):
    write(
        tmp_path / "new", row("a.png", error="no, image"), row(ODD), row("b\udcff.png", decision=1)
    )
    rows = read_predictions(tmp_path / "new" / "predictions.csv")
    assert [one["path"] for one in rows] == ["a.png", ODD, "b\udcff.png"]
    assert list(rows[0]) == list(COLUMNS)
    assert (rows[0]["error"], rows[0]["score"], rows[0]["decision"]) == ("no, image", "0.1", "")


def test_a_table_that_is_there_is_not_added_to_unasked(tmp_path):
    write(tmp_path, row("a"))
    with pytest.raises(UserError, match="--resume"):
        PredictionTable(tmp_path, resume=False)


def test_going_on_knows_what_is_done_and_what_failed(tmp_path):
    write(tmp_path, row(ODD, 7, decision=1), row("b", 8, error="bad"))
    with PredictionTable(tmp_path, resume=True) as table:
        assert table.done == {(ODD, 7), ("b", 8)}
        assert (table.num_errors, table.num_defects) == (1, 1)


@pytest.mark.parametrize("last", [row("b.png"), row(ODD), row("c", error='"\n,')])
def test_wherever_a_kill_tears_the_table_no_row_is_lost_or_doubled(tmp_path, last):
    path = write(tmp_path, row("a.png", 1), last).path
    whole = path.read_bytes()
    head = whole.index(b"\n") + 1
    first = whole.index(b"\n", head) + 1
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with PredictionTable(tmp_path, resume=True) as table:
            assert len(table.done) == (end >= first)
            for one in (row("a.png", 1), last):
                if (one["path"], one["modified"]) not in table.done:
                    table.add(one)
        assert path.read_bytes() == whole


def test_another_table_of_that_name_is_left_alone(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text("path,label,defect,score,decision\na,0,good,1,\n")
    with pytest.raises(UserError, match="no table of new images"):
        PredictionTable(tmp_path, resume=True)
    assert path.read_text().endswith("a,0,good,1,\n")
