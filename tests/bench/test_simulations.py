"""`bench intervals` and `bench verdicts`: populations of known metrics, and what is printed."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfa_lab.bench import intervals, verdicts
from cfa_lab.bench.populations import MapPopulation, ScorePopulation
from cfa_lab.metrics.intervals import Interval
from cfa_lab.metrics.ranking import auroc, rank


@pytest.mark.parametrize("kind", intervals.KINDS)
@pytest.mark.parametrize("true", intervals.AUROCS)
def test_scores_have_the_auroc_they_are_named_by(kind: str, true: float):
    scores, labels = ScorePopulation(kind, true).draw(np.random.default_rng(0), 100_000, 100_000)
    assert labels.sum() == 100_000
    found = auroc(rank([scores[labels == 0]], scores[labels == 1]))
    assert found == pytest.approx(true, abs=2.5e-3)


def test_maps_hold_defects_where_their_masks_say():
    maps, masks = MapPopulation(5.0).draw(np.random.default_rng(0), 30, 40)
    assert maps.shape == masks.shape == (70, 24, 24) and maps.dtype == np.float32
    assert not masks[:30].any() and masks[30:].any(axis=(1, 2)).all()
    assert maps[masks].mean() - maps[~masks].mean() == pytest.approx(5.0, abs=0.8)


def test_shares_are_counted_among_the_intervals_that_there_are():
    found = [Interval(0.1, 0.3), Interval(0.3, 0.5), Interval(0.0, 0.15), Interval(0, 1, "none")]
    counted = intervals._held(found, 0.2)  # pyright: ignore[reportPrivateUsage]
    assert counted == {
        "true": 0.2,
        "held": pytest.approx(1 / 3),
        "above": pytest.approx(1 / 3),
        "below": pytest.approx(1 / 3),
        "none": pytest.approx(1 / 4),
        "width": pytest.approx((0.2 + 0.2 + 0.15) / 3),
        "at_one": 0.0,
    }


def test_figures_outside_are_told_from_those_that_chance_puts_there():
    """Of 300: 275 of 95 can be chance, 260 is not; 295 is above 97 by more than chance, 292 not."""
    figures = [
        {"held": held / 300, "none": 0.0, "at_one": at_one}
        for held, at_one in ((275, 0), (260, 0), (285, 0.5), (292, 0.0), (299, 0.02), (300, 0.5))
    ]
    found = intervals.count_outside(figures, 300, intervals.AIM)
    by_chance = found.pop("by_chance")
    assert found == {
        "figures": 6,
        "below": 2,
        "surely_below": 1,
        "above": 3,
        "surely_above": 2,
        "at_one": 1,
    }
    held = np.random.default_rng(0).binomial(300, 0.95, size=200_000)
    assert by_chance == pytest.approx(6 * np.mean((held < 279) | (held > 291)), abs=0.02)
    of_half = [{"held": 0.5, "none": 0.5, "at_one": 0.0}]  # half of the sets have an interval
    assert intervals.count_outside(of_half, 8, (0.0, 0.4))["above"] == 1


class Here:
    """Processes that are none."""

    def __init__(self, *args: Any, **kwargs: Any): ...

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *args: object) -> None: ...

    def map(self, call: Callable[..., Any], *arguments: Iterable[Any]) -> Iterable[Any]:
        return map(call, *arguments)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(intervals, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(intervals, "KINDS", ("even",))
    monkeypatch.setattr(intervals, "AUROCS", (0.9,))
    monkeypatch.setattr(intervals, "LIFTS", (2.7,))
    monkeypatch.setattr(intervals, "NUM_TRUE", 300)
    monkeypatch.setattr(intervals, "SIZES", ((5, 5), (20, 20)))
    monkeypatch.setattr(verdicts, "SETTINGS", (2, 3))
    monkeypatch.setattr(verdicts, "CATEGORIES", (6,))


def test_intervals_print_and_write_how_often_each_metric_holds(small, tmp_path: Path, capsys):
    intervals.main(["--sets", "3", "--json", str(tmp_path / "found.json")])
    told = capsys.readouterr().out
    assert "percent of 3 intervals" in told and "5 + 5" in told and "20 + 20" in told
    assert "20+20, 8 figures:" in told and "5+5, 8 figures:" in told and "below 90" in told
    for name in ("even, AUROC 0.9", "maps, lift 2.7", "image_f1max", "aupro_05"):
        assert name in told
    written = json.loads((tmp_path / "found.json").read_text())
    assert written["setting"] == {"num_sets": 3, "seed": 0}
    assert {"date", "processor"} <= written["machine"].keys()
    scores, maps = written["results"].values()
    assert scores.keys() == maps.keys() == {"5+5", "20+20"}
    assert scores["20+20"].keys() == {"image_auroc", "image_ap", "image_f1max"}
    assert scores["20+20"]["image_auroc"]["true"] == pytest.approx(0.9, abs=0.02)
    assert maps["5+5"].keys() == {
        *("pixel_auroc", "pixel_ap", "pixel_f1max", "aupro_30", "aupro_05")
    }
    for counted in (*scores["20+20"].values(), *maps["20+20"].values()):
        shares = counted["held"] + counted["above"] + counted["below"]
        assert shares == pytest.approx(1) and counted["width"] > 0
    assert intervals.run_bench_intervals(3)["results"] == written["results"]
    intervals.main(["--sets", "3", "--seed", "1", "--json", str(tmp_path / "other.json")])
    other = json.loads((tmp_path / "other.json").read_text())
    assert other["setting"]["seed"] == 1 and other["results"] != written["results"]


def test_verdicts_print_and_write_shares_of_every_kind_of_study(small, tmp_path: Path, capsys):
    verdicts.main(["--studies", "4", "--json", str(tmp_path / "found.json")])
    told = capsys.readouterr().out
    assert "percent of 4 studies, 3 seeds" in told and "categories, skewed, 3 settings" in told
    written = json.loads((tmp_path / "found.json").read_text())
    assert written["setting"] == {"num_studies": 4, "num_seeds": 3}
    assert len(written["results"]) == len(verdicts.WORLDS) * 2
    for shares in written["results"].values():
        assert shares.keys() == {"wrong", "wrong_verdict", "found", "best"}
        assert all(0 <= share <= 1 and (4 * share).is_integer() for share in shares.values())
    alone = written["results"]["seeds alone, 2 settings, 6 categories"]
    assert alone["found"] == 1  # an advantage of twice the noise, in six categories
    assert verdicts.run_bench_verdicts(4)["results"] == written["results"]


def test_studies_without_a_difference_differ_in_no_mean_but_by_chance():
    generator = np.random.default_rng(0)
    means = []
    for _ in range(300):
        cells = verdicts.simulated(generator, "categories, skewed", 2, 15, 3)
        assert cells.keys() == {"0", "1"} and len(cells["0"]) == 15 and len(cells["0"]["c0"]) == 3
        a, b = (np.mean([list(v.values()) for v in cells[s].values()]) for s in "01")
        means.append(b - a)
    assert abs(np.mean(means)) < 3 * np.std(means) / 300**0.5
