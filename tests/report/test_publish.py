"""What a study leaves for a repository: the same bytes wherever it lies, and nothing beside it."""

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers.synthetic import write_run, write_study
from safetensors.numpy import save_file

from cfa_lab.report import command as report
from cfa_lab.report.charts.dots import Dot, DotPanel, dot_rows
from cfa_lab.report.charts.svg_files import dots_svg
from cfa_lab.report.collect import collect
from cfa_lab.report.tables.costs import bank_shape, leak, read_training, sqrt_alpha
from cfa_lab.report.tables.mvtec import CATEGORIES

LIMITED = {"loss.squared": True, "loss.alpha_sign": "minus"}
EPOCHS = "epoch,test/image_auroc,test/aupro_30\n0,0.5,\n1,0.75,0.25\n2,0.7,0.5\n"


def publish(folder: Path, *arguments: str) -> dict[str, str]:
    """The published files of the runs below `folder`, by name."""
    output = folder.parent / "published"
    report.main([str(folder), "--output", str(output), "--publish", *arguments])
    return {path.name: path.read_text(encoding="utf-8") for path in output.iterdir()}


def write_evaluated_study(root: Path) -> Path:
    """Two settings in two categories, evaluated over epochs."""
    write_study(root, categories=2, config_more=LIMITED, num_steps=400)
    for folder in root.iterdir():
        (folder / "evaluations.csv").write_text(EPOCHS)
        record = json.loads((folder / "metrics.json").read_text())
        best = record["metrics"]["test/image_auroc"] + 0.01
        record["oracle"] = {"oracle/best_image_auroc": best}
        record["protocol"] |= {"bank_entries": 64, "bank_dimension": 10}
        (folder / "metrics.json").write_text(json.dumps(record))
    return root


def test_a_repository_gets_tables_and_plots_without_paths_wherever_the_runs_lie(tmp_path: Path):
    one, two = (
        publish(write_evaluated_study(tmp_path / p / "runs")) for p in ("one", "two/deeper")
    )
    assert one.keys() == {
        *("tables.md", "summary.csv", "differences.csv", "cost.md", "categories.md"),
        *("metrics.svg", "differences.svg", "radius.svg", "epochs.svg"),
    }
    assert one == two
    text = "".join(one.values())
    assert str(tmp_path) not in text and "runs/" not in text
    assert "12.5" not in "".join(text for name, text in one.items() if name != "cost.md")
    assert "| loss.K=1 | 6 | 12.5 (12.5 to 12.5) |" in one["cost.md"]


def test_tables_say_what_bank_and_radius_became_and_what_choosing_epochs_would_gain(tmp_path: Path):
    tables = publish(write_evaluated_study(tmp_path / "runs"))["tables.md"]
    assert tables.startswith("12 runs; categories: category0, category1; seeds: 0, 1, 2.")
    assert "| loss.K=1 | 64 x 10 | 0.00256 | 400 | 0.399 | 317 (6 of 6 runs) | 25 |" in tables
    assert "| loss.K=1 | -1.00 [-1.00, -1.00] |" in tables
    assert "| A minus B |" not in tables and "| minus loss.K=1 | image AUROC |" in tables


def test_each_category_is_compared_by_itself_and_six_pairs_of_seeds_support_it(tmp_path: Path):
    few = publish(write_study(tmp_path / "few" / "runs", seeds=5, gain=0.02))["categories.md"]
    many = publish(write_study(tmp_path / "many" / "runs", seeds=6, gain=0.02))["categories.md"]
    assert few.count("| setting | category0 | category1 | category2 |") == 5
    (row,) = {line for line in few.splitlines() if line.startswith("| loss.K=3")}
    assert row.count("[+") == 3 and "**" not in row
    (row,) = {line for line in many.splitlines() if line.startswith("| loss.K=3")}
    assert row.count("**+") == 3


def test_plots_are_drawings_of_their_own_for_light_and_dark(tmp_path: Path):
    published = publish(write_evaluated_study(tmp_path / "runs"))
    for name in ("metrics.svg", "differences.svg", "radius.svg", "epochs.svg"):
        root = ElementTree.fromstring(published[name])
        assert root.tag == "{http://www.w3.org/2000/svg}svg", name
        assert "prefers-color-scheme:dark" in published[name]
        assert "var(" not in published[name] and "http" not in published[name].replace(
            "http://www.w3.org/2000/svg", ""
        )
    texts = [element.text for element in ElementTree.fromstring(published["radius.svg"]).iter()]
    assert "√α = 0.316" in texts  # noqa: RUF001 the paper's symbol
    lines = [
        e for e in ElementTree.fromstring(published["epochs.svg"]).iter() if "points" in e.attrib
    ]
    assert [len(line.attrib["points"].split()) for line in lines] == [3, 3, 2, 2]
    dots = [e for e in ElementTree.fromstring(published["metrics.svg"]).iter() if "cx" in e.attrib]
    assert len(dots) == 2 * 5


def test_dots_lie_where_their_values_are():
    panel = DotPanel(title="m", dots={"a": Dot(mean=0.2, low=0.1, high=0.3), "b": Dot(mean=0.4)})
    root = ElementTree.fromstring(
        dots_svg(["a", "b"], [panel], title="t", colours={"a": 0, "b": 1})
    )
    a, b = (float(e.attrib["cx"]) for e in root.iter() if "cx" in e.attrib)
    (interval,) = (e.attrib["d"] for e in root.iter() if "interval" in e.attrib.get("class", ""))
    low, high = float(interval[1:].split()[0]), float(interval.split("H")[1])
    assert (a - low, high - a, b - a) == pytest.approx((a - low, a - low, 2 * (a - low)), abs=0.2)


def test_a_part_that_a_study_has_no_more_is_removed(tmp_path: Path):
    assert "epochs.svg" in publish(write_evaluated_study(tmp_path / "runs"))
    for path in (tmp_path / "runs").glob("*/evaluations.csv"):
        path.unlink()
    assert "epochs.svg" not in publish(tmp_path / "runs")


def test_a_lone_run_that_never_trained_is_published(tmp_path: Path):
    write_run(tmp_path / "runs" / "lone", num_steps=0)
    published = publish(tmp_path / "runs")
    assert published.keys() == {
        *("tables.md", "summary.csv", "differences.csv", "cost.md", "metrics.svg")
    }
    assert "| all runs |  |  | 0 |  |  |" in published["tables.md"]


def test_the_bank_is_known_from_the_model_where_the_record_does_not_say(tmp_path: Path):
    folder = write_run(tmp_path / "run")
    (run,) = collect([tmp_path]).runs
    assert bank_shape(run) is None
    save_file({"bank": np.zeros((7, 3), dtype=np.float32)}, folder / "model.safetensors")
    assert bank_shape(run) == (7, 3)
    (folder / "model.safetensors").write_bytes(b"\x00\x01")
    assert bank_shape(run) is None


@pytest.mark.parametrize(
    "config, limit, crossed",
    [
        ({**LIMITED}, math.sqrt(0.1), 317),
        ({**LIMITED, "loss.alpha": 0.01}, 0.1, 100),
        ({**LIMITED, "loss.alpha": 4.0}, 2.0, None),
        ({**LIMITED, "loss.J": 0}, None, None),
        ({**LIMITED, "loss.squared": False}, math.sqrt(0.1), 317),
        ({**LIMITED, "loss.alpha_sign": "plus"}, None, None),
    ],
)
def test_the_radius_is_followed_to_where_repulsion_begins(
    tmp_path: Path, config: dict[str, Any], limit: float | None, crossed: int | None
):
    folder = write_run(tmp_path / "run", config=config, num_steps=400)
    (run,) = collect([tmp_path]).runs
    training = read_training(run)
    assert training is not None
    assert sqrt_alpha(run) == pytest.approx(limit)
    assert (training.num_steps, training.crossed) == (400, crossed)
    assert training.most_repelled == 0.25
    (folder / "history.csv").write_text("other\n1\n")
    assert read_training(run) is None


def test_what_an_oracle_would_gain_counts_only_runs_that_have_both_values(tmp_path: Path):
    write_run(tmp_path / "a", value=0.5, oracle={"oracle/best_image_auroc": 0.75})
    write_run(tmp_path / "b", seed=1)
    assert leak(collect([tmp_path]), "test/image_auroc") == {"all runs": {"bottle": {0: -0.25}}}


def test_mvtecs_categories_make_the_tables_of_a_readme(tmp_path: Path):
    for i, category in enumerate(CATEGORIES):
        for backbone, value in (("resnet18", 0.9), ("wide_resnet50", 0.9 + 0.005 * i)):
            folder = tmp_path / "runs" / f"{backbone}-{category}"
            write_run(folder, category=category, value=value, config={"backbone.name": backbone})
    text = publish(tmp_path / "runs")["mvtec.md"]
    section = text.partition("## Image AUROC")[2].partition("##")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert rows[0] == "| Category | ResNet-18 | Wide ResNet-50 |"
    assert rows[2] == "| Bottle | 0.900 | 0.900 |"
    assert rows[-2:] == ["| Zipper | 0.900 | 0.970 |", "| **Average** | **0.900** | **0.935** |"]
    assert [row.split(" | ")[0][2:] for row in rows[9:11]] == ["Metal nut", "Pill"]
    assert "| ResNet-18 | 0.900 / 0.900 / 0.900 |" in text
    textures = np.mean([0.9 + 0.005 * i for i in (3, 4, 6, 10, 13)])
    assert f"| Wide ResNet-50 | {textures:.3f} / " in text
    for run in (tmp_path / "runs").glob("wide_resnet50-zipper/*"):
        run.unlink()
    text = publish(tmp_path / "runs")["mvtec.md"]
    assert "| Zipper | 0.900 |  |" in text and "| **Average** | **0.900** |  |" in text
    for run in (tmp_path / "runs").glob("wide_resnet50-*"):
        shutil.rmtree(run)
    assert "| Category | ResNet-18 |" in publish(tmp_path / "runs")["mvtec.md"]


def test_a_study_of_other_categories_has_no_such_tables(tmp_path: Path):
    assert "mvtec.md" not in publish(write_study(tmp_path / "runs"))


def test_the_page_shows_the_same_dots_as_the_files():
    dots = {"a": Dot(mean=0.2, low=0.1, high=0.3, points=[0.15, 0.25]), "b <": Dot(mean=0.4)}
    panel = DotPanel(title="m", dots=dots, mark=0.2)
    text = dot_rows(["b <", "a"], panel, colours={"a": 0, "b <": 9})
    drawn = ElementTree.fromstring(text)
    circles = [e for e in drawn.iter("circle")]
    assert [e.attrib["class"] for e in circles] == ["dot c0", "dot c1"]
    assert [e.findtext("title") for e in circles] == ["a: 20.00 [10.00, 30.00]", "b <: 40.00"]
    places = [float(e.attrib["cx"]) for e in circles]
    assert float(circles[0].attrib["cy"]) > float(circles[1].attrib["cy"]), "in the rows' order"
    paths = {
        kind: [e for e in drawn.iter("path") if e.attrib["class"].startswith(kind)]
        for kind in ("point", "interval", "mark")
    }
    assert [len(found) for found in paths.values()] == [2, 1, 1]
    assert paths["mark"][0].attrib["d"].startswith(f"M{places[0]:.1f} ")
    assert dot_rows([], DotPanel(title="m", dots={}), colours={}) == ""


def test_no_percent_beyond_100_is_marked():
    panel = DotPanel(title="m", dots={"a": Dot(mean=0.99), "b": Dot(mean=0.0)})
    assert {
        *re.findall(r">(-?\d+)</text>", dot_rows(["a", "b"], panel, colours={"a": 0, "b": 1}))
    } <= {str(percent) for percent in range(0, 101)}
    alone = dot_rows(["a"], DotPanel(title="m", dots={"a": Dot(mean=0.99)}), colours={"a": 0})
    assert ">100</text>" in alone and ">101</text>" not in alone
