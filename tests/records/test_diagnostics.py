"""A run's diagnostics as a file, and the numbers that trackers and the report show of it."""

from pathlib import Path

import pytest
from helpers.synthetic import diagnosis

from cfa_lab.records import names
from cfa_lab.records.diagnostics import PARTS, read_diagnostics, scalars, write_diagnostics


def test_diagnostics_come_back_as_they_were_written(tmp_path: Path):
    assert read_diagnostics(tmp_path) is None
    write_diagnostics(tmp_path, diagnosis())
    assert read_diagnostics(tmp_path) == {"schema": 1, **diagnosis()}


@pytest.mark.parametrize(
    "content", [b'{"schema": 2}', b'{"schema": 1, "radius": 3}', b"[]", b"3", b"{", b"", b"\xff"]
)
def test_what_is_none_of_this_version_is_none(tmp_path: Path, content: bytes):
    (tmp_path / names.DIAGNOSTICS).write_bytes(content)
    assert read_diagnostics(tmp_path) is None


@pytest.mark.parametrize("part", sorted(PARTS))
def test_diagnostics_that_lack_a_part_are_none(tmp_path: Path, part: str):
    write_diagnostics(tmp_path, {k: v for k, v in diagnosis().items() if k != part})
    assert read_diagnostics(tmp_path) is None


def test_single_numbers_are_told_where_there_are_any():
    assert scalars(diagnosis()) == {
        "diagnostics/radius": 0.05,
        "diagnostics/radius_over_sqrt_alpha": 0.05 / 0.1**0.5,
        "diagnostics/bank_used_ratio": 0.4,
        "diagnostics/bank_effective": 3.0,
        "diagnostics/normal_inside_none": 0.5,
        "diagnostics/normal_inside_one": 0.25,
        "diagnostics/normal_inside_several": 0.25,
        "diagnostics/normal_median_distance": 1.0,
        "diagnostics/defect_inside_none": None,
        "diagnostics/defect_inside_one": None,
        "diagnostics/defect_inside_several": None,
        "diagnostics/defect_median_distance": None,
    }
