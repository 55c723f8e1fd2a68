"""Index files as spreadsheets write them."""

from pathlib import Path

import pytest

from cfa_lab.data import Options, read_samples
from cfa_lab.errors import UserError

ROWS = [
    ["Path", "label", "Split", "mask", "defect"],
    ["a/0.png", "ok", "train", "", ""],
    ["a/1, again.png", "OK", "test", "", ""],
    ["a/2.png", "NG", "test", "m/2.png;m/2b.png", "dent"],
]


def written(mark: str, end: str) -> str:
    quoted = [[f'"{v}"' if {mark, ";", ","} & {*v} else v for v in row] for row in ROWS]
    return end.join(mark.join(row) for row in [*quoted, [""] * len(ROWS[0])]) + end


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_what_parts_columns_and_lines_is_found(tmp_path: Path, mark: str, end: str, encoding: str):
    (tmp_path / "index.csv").write_bytes(written(mark, end).encode(encoding))
    table = read_samples("csv", tmp_path, tmp_path.name)
    assert [(s.path, s.split, s.label, s.defect, s.masks) for s in table.samples] == [
        ("a/0.png", "train", 0, "good", ()),
        ("a/1, again.png", "test", 0, "good", ()),
        ("a/2.png", "test", 1, "dent", ("m/2.png", "m/2b.png")),
    ]


def test_whole_paths_below_the_root_are_read_and_others_refused(tmp_path: Path):
    index = tmp_path / "lists" / "all.csv"
    index.parent.mkdir()
    options = Options(index="lists/all.csv")
    text = "path,label,split,mask\n{0}/a.png,0,train,\n{0}/b.png,1,test,{0}/m/b.png\n"
    index.write_text(text.format(tmp_path))
    table = read_samples("csv", tmp_path, tmp_path.name, options)
    assert [(s.path, s.masks) for s in table.samples] == [("a.png", ()), ("b.png", ("m/b.png",))]
    index.write_text(text.format("/elsewhere"))
    with pytest.raises(UserError, match=r"'/elsewhere/a\.png' leaves the data set's root"):
        read_samples("csv", tmp_path, tmp_path.name, options)


def test_a_header_without_the_columns_is_named(tmp_path: Path):
    (tmp_path / "index.csv").write_text("file|label\na.png|0\n")
    with pytest.raises(UserError, match=r"has no column path, label; its first line is 'file\|lab"):
        read_samples("csv", tmp_path, tmp_path.name)
