"""Where maps are highest, which defects are touched, and what was decided wrongly."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from cfa_lab.data.geometry import Placement
from cfa_lab.data.samples import Sample
from cfa_lab.evaluation.maps import ScoredImage, thinned
from cfa_lab.evaluation.wrong import (
    Look,
    found_by_kind,
    look_at,
    peak_in_defect,
    told_of_kinds,
    wrong_decisions,
)
from cfa_lab.metrics.decisions import exact_interval
from cfa_lab.records.misses import MISSES_COLUMNS, write_misses

PLACE = Placement(original=(10, 12), window=(2, 3, 6, 8), content=(0, 0, 6, 8))


def image(label: int, score: float, *, defect: str = "hole", name: str = "x") -> ScoredImage:
    kind = defect if label else "good"
    sample = Sample(f"c/test/{kind}/{name}.png", "test", label, kind)
    return ScoredImage(sample, PLACE, torch.zeros(2, 2), score)


def test_a_peak_is_told_in_the_original_image_and_defects_by_touching():
    values = np.zeros((6, 8))
    values[4, 1] = 3.0
    values[0, 7] = 2.0
    seen = np.zeros((6, 8), dtype=bool)
    seen[3:5, 0:2] = True  # holds the peak
    seen[0, 5], seen[1, 6] = True, True  # one region by its corner, nowhere above 2
    look = look_at(values, seen, PLACE, 2.0)
    assert look == Look((6, 4), True, 2, 1)
    assert look_at(values, seen, PLACE, 0.0).num_touched == 2
    seen[3:5, 0:2] = False
    assert look_at(values, seen, PLACE, None) == Look((6, 4), False, 1, None)
    assert look_at(values, np.zeros_like(seen), PLACE, 1.0) == Look((6, 4), None)
    assert look_at(values, None, PLACE, 1.0) == Look((6, 4), None)


def test_the_share_of_peaks_on_defects_leaves_out_what_has_no_defect_to_see():
    looks = [Look((0, 0), told) for told in (True, False, None, True, True)]
    assert peak_in_defect(looks) == 0.75
    assert peak_in_defect([Look((0, 0), None)]) is None


def test_wrong_decisions_are_misses_then_false_alarms_the_worst_first(tmp_path: Path):
    images = [
        image(1, 0.9, name="found"),
        image(1, 0.2, name="far"),
        image(0, 0.1, name="fine"),
        image(0, 0.6, name="near"),
        image(1, 0.4, name="close"),
        image(0, 0.8, name="loud"),
        image(0, 0.5, name="at"),  # the threshold itself is a defect
    ]
    looks = [Look((1, 2), True, 1, 0)] * len(images)
    rows = wrong_decisions(images, looks, 0.5)
    names = [Path(row["path"]).stem for row in rows]
    assert names == ["far", "close", "loud", "near", "at"]
    assert [row["what"] for row in rows] == ["miss"] * 2 + ["false alarm"] * 3
    assert [row["index"] for row in rows] == [1, 4, 5, 3, 6]
    write_misses(tmp_path, rows)
    head, *lines = (tmp_path / "misses.csv").read_text().splitlines()
    assert head == ",".join(MISSES_COLUMNS)
    assert lines[0] == "c/test/hole/far.png,miss,hole,0.2,0.5,1,2,True,1,0"
    write_misses(tmp_path, [])
    assert (tmp_path / "misses.csv").read_text().splitlines() == [head]


def test_kinds_are_counted_with_exact_intervals():
    images = [image(0, s) for s in (0.1, 0.2, 0.9)]
    images += [image(1, s) for s in (0.7, 0.3)] + [image(1, 0.8, defect="cut")]
    looks = [Look((0, 0), None)] * 3 + [Look((0, 0), True, 2, 1)] * 3
    kinds: dict[str, Any] = found_by_kind(images, looks, 0.5)
    assert list(kinds) == ["good", "cut", "hole"]
    assert (kinds["hole"]["images"], kinds["hole"]["called_defect"]) == (2, 1)
    assert (kinds["hole"]["defects"], kinds["hole"]["defects_touched"]) == (4, 2)
    good, cut, hole = told_of_kinds(kinds)
    assert good == "good  1 of 3 images called defect (1 to 91 %)"
    assert cut == "cut   1 of 1 images found (3 to 100 %), 1 of 2 defects touched"
    assert hole == "hole  1 of 2 images found (1 to 99 %), 2 of 4 defects touched"


@pytest.mark.parametrize(("part", "whole"), [(0, 1), (1, 1), (1, 14), (7, 30), (30, 30), (0, 200)])
def test_the_interval_of_a_share_is_the_exact_one(part: int, whole: int):
    found = binomtest(part, whole).proportion_ci(0.95, method="exact")
    assert exact_interval(part, whole) == pytest.approx((found.low, found.high), abs=1e-12)


def test_nothing_counted_says_nothing():
    assert exact_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 64), (300, 200)])
def test_thinned_values_hold_the_largest_and_are_few(shape: tuple[int, int]):
    values = np.random.default_rng(0).normal(size=shape)
    kept = thinned(values)
    assert len(kept) <= 4096
    assert kept[-1] == values.max()
    assert np.isin(kept, values).all()
