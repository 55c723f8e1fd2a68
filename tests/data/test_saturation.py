"""MVTec LOCO's `defects_config.json`: read with its table, and refused where it is damaged."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cfa_lab.data.doubts import doubts_by_name
from cfa_lab.data.layouts import LAYOUTS, read_samples
from cfa_lab.data.masks import load_mask_values
from cfa_lab.data.saturation import FILE, Saturation, read_saturation
from cfa_lab.data.toy.layouts import write_toy_layout
from cfa_lab.errors import UserError

ENTRY = {"pixel_value": 7, "saturation_threshold": 12, "relative_saturation": False}


def write(folder: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / FILE).write_text(text, encoding="utf-8")
    return folder


def test_absolute_and_relative_thresholds_are_read_by_pixel_value(tmp_path: Path):
    share = {"pixel_value": 255, "saturation_threshold": 0.25, "relative_saturation": True}
    found = read_saturation(write(tmp_path, [ENTRY | {"defect_name": "hole"}, share]))
    assert found == {7: Saturation(12.0, False), 255: Saturation(0.25, True)}
    assert read_saturation(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[{", "Expecting property name"),
        ({"pixel_value": 3}, "string indices"),
        (7, "not iterable"),
        ([{**ENTRY, "pixel_value": 256}], "pixel_value is 256"),
        ([{**ENTRY, "pixel_value": "255"}], "pixel_value is '255'"),
        ([{**ENTRY, "relative_saturation": 1}], "relative_saturation is 1"),
        ([{**ENTRY, "saturation_threshold": 0}], "saturation_threshold is 0"),
        ([{**ENTRY, "saturation_threshold": 2, "relative_saturation": True}], "is 2, not a share"),
        ([{"pixel_value": 3}], "no 'saturation_threshold'"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: object, reason: str):
    with pytest.raises(UserError, match=re.escape(reason)) as caught:
        read_saturation(write(tmp_path, content))
    assert FILE in str(caught.value) and "\n" not in str(caught.value)


def test_only_locos_table_has_saturation_and_a_missing_file_is_told_before_a_run(tmp_path: Path):
    for layout in LAYOUTS:
        write_toy_layout(layout, tmp_path / layout, "gear", size=48, num_train=4, num_defects=1)
        name = {"kolektor2": "kolektor2", "magnetic_tile": "magnetic_tile"}.get(layout, "gear")
        if layout == "kolektor":
            name = "kolektor"
        table = read_samples(layout, tmp_path / layout, name)
        expected = {"mvtec_loco": ("spro",), "mvtec_ad2": ("seg_f1",)}
        assert table.measures == expected.get(layout, ()), layout
        assert bool(table.saturation) == (layout == "mvtec_loco")
        assert not any("sPRO" in line for line in doubts_by_name(table))
    assert read_samples("auto", tmp_path / "mvtec_loco", "gear").measures == ("spro",)
    (tmp_path / "mvtec_loco" / "gear" / FILE).unlink()
    table = read_samples("mvtec_loco", tmp_path / "mvtec_loco", "gear")
    assert table.saturation is None
    assert any(line.startswith("sPRO is undefined") for line in doubts_by_name(table))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16", "1"])
def test_mask_values_are_those_of_the_file(tmp_path: Path, mode: str):
    values = np.array([[0, 3, 255], [0, 254, 0]])
    if mode == "1":
        values = 255 * (values > 0)
    if mode == "I;16":
        values = 200 * values
        picture = Image.fromarray(values.astype(np.uint16))
    else:
        picture = Image.fromarray(values.astype(np.uint8)).convert(mode)
    picture.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(load_mask_values([tmp_path / "mask.png"]), values[None])
    with pytest.raises(UserError, match="masks must have the size of their image"):
        load_mask_values([tmp_path / "mask.png"], (3, 3))
