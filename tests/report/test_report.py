"""The report as files: what a study's numbers become, and what is refused in one line."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.synthetic import write_run, write_study
from PIL import Image

from cfa_lab.errors import UserError
from cfa_lab.figures.page import Page
from cfa_lab.records.figures import CASE_FIGURES
from cfa_lab.report import command as report
from cfa_lab.report.collect import collect
from cfa_lab.report.page.gallery import choose_pictures
from cfa_lab.report.selection import Search, check_search, choose_winner
from cfa_lab.report.tables import published
from cfa_lab.report.tables import write as tables
from cfa_lab.report.tables.markdown import head

AUROC = "test/image_auroc"


@pytest.fixture(scope="module")
def study_root(tmp_path_factory) -> Path:
    """Eight categories, three seeds, two settings, and one of everything that does not count."""
    root = write_study(tmp_path_factory.mktemp("study"), categories=8, gain=0.02, pictures=True)
    write_run(root / "failed", status="failed", category="<b>bold</b>")
    write_run(root / "undefined", category="category0", seed=9, value=None, config={"loss.K": 3})
    return root


@pytest.fixture(scope="module")
def output(study_root, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    report.main([str(study_root), "--output", str(folder), "--title", "A & B <i>"])
    return folder


def test_all_files_are_there_and_none_is_half_written(output: Path):
    names = {path.name for path in output.iterdir()}
    expected = {"report.html", "results.csv", "summary.csv", "differences.csv"}
    assert names - {"results.parquet"} == expected | {"tables.md", "tables.tex"}
    assert ("results.parquet" in names) == tables.has_pyarrow()


def test_results_hold_every_counted_run(output: Path, study_root: Path):
    frame = pd.read_csv(output / "results.csv")
    assert len(frame) == 8 * 3 * 2 + 1
    row = frame[(frame.category == "category3") & (frame.seed == 1) & (frame["loss.K"] == 3)]
    record = json.loads((study_root / "c3-s1-K3" / "metrics.json").read_text())
    assert row[AUROC].item() == record["metrics"][AUROC]
    assert frame.loc[frame.seed == 9, AUROC].isna().all()


def test_parquet_holds_the_same(output: Path):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    frame = pd.read_parquet(output / "results.parquet")
    expected = pd.read_csv(output / "results.csv")
    assert list(frame) == list(expected)
    assert frame[AUROC].equals(expected[AUROC])


def test_without_pyarrow_the_rest_is_written_and_the_reason_told(
    study_root, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(tables, "has_pyarrow", lambda: False)
    monkeypatch.setattr(report, "has_pyarrow", lambda: False)
    report.main([str(study_root), "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out" / "results.parquet").exists()
    assert (tmp_path / "out" / "report.html").is_file()
    assert "pip install 'cfa-lab[report]'" in capsys.readouterr().out


def test_keys_of_mixed_types_reach_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    for i, value in enumerate([None, 5, "all", 0.5]):
        write_run(tmp_path / "runs" / str(i), config={"dataset.limit_train": value})
    report.main([str(tmp_path / "runs"), "--output", str(tmp_path / "out")])
    frame = pd.read_parquet(tmp_path / "out" / "results.parquet")
    assert set(frame["dataset.limit_train"].fillna("none")) == {"none", "5", "all", "0.5"}


def test_tables_say_mean_sd_interval_and_mark_what_is_supported(output: Path):
    summary = pd.read_csv(output / "summary.csv")
    frame = pd.read_csv(output / "results.csv")
    cell = frame[(frame.category == "category2") & (frame["loss.K"] == 1)]["test/aupro_30"]
    row = summary[
        (summary.metric == "test/aupro_30")
        & (summary.setting == "loss.K=1")
        & (summary.category == "category2")
    ].iloc[0]
    assert row["mean"] == pytest.approx(cell.mean())
    assert row["sd"] == pytest.approx(cell.std())
    markdown = (output / "tables.md").read_text()
    assert f"{100 * cell.mean():.2f} ± {100 * cell.std():.2f} [" in markdown
    assert "| category | loss.K=1 | **loss.K=3** |" in markdown
    latex = (output / "tables.tex").read_text()
    assert r"\textbf{loss.K=3}" in latex
    assert latex.count(r"\caption{") == latex.count(r"\label{tab:") == 8
    assert r"\caption{image AUROC, percent: mean, sd over seeds" in latex
    assert latex.count("percent: mean, sd over seeds") == 1, "told once"
    assert r"\caption{AUPRO@0.3, numbers as in Table~\ref{tab:image-auroc}." in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 8
    differences = pd.read_csv(output / "differences.csv")
    assert set(differences.verdict) == {"better"}
    assert differences["num_pairs"].tolist() == [24] * 8


def test_a_report_made_twice_is_the_same_and_needs_no_order(study_root, output, tmp_path):
    report.main([str(study_root), "--output", str(tmp_path), "--title", "A & B <i>"])
    for name in ("report.html", "summary.csv", "differences.csv", "tables.md", "tables.tex"):
        assert (tmp_path / name).read_bytes() == (output / name).read_bytes(), name


def test_the_page_asks_nobody_and_escapes_what_it_is_given(output: Path):
    page = (output / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "url(" not in page and "@import" not in page and "fetch(" not in page
    assert "<h1>A &amp; B &lt;i&gt;</h1>" in page
    assert "<b>bold" not in page
    assert "the disk is full" in page
    assert page.count("data:image/webp;base64,") == 8 * 2 * 2


def test_many_settings_stand_below_each_other(tmp_path):
    write_study(tmp_path / "runs", categories=2, seeds=1, Ks=tuple(range(1, 10)))
    report.main([str(tmp_path / "runs"), "--output", str(tmp_path), "--baseline", "loss.K=2"])
    assert "| setting | category0 | category1 | mean |" in (tmp_path / "tables.md").read_text()
    differences = pd.read_csv(tmp_path / "differences.csv")
    assert set(differences.b) == {"loss.K=2"}
    assert set(differences.verdict) == {"inconclusive"}


def test_a_lone_run_has_a_report(tmp_path):
    write_run(tmp_path / "runs" / "lone")
    report.main([str(tmp_path / "runs" / "lone"), "--output", str(tmp_path / "out")])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Nothing was varied" in page and "Nothing to compare" in page
    assert pd.read_csv(tmp_path / "out" / "differences.csv").empty


def test_limits_of_aupro_are_told_apart(tmp_path):
    """0.1 and 1 were both AUPRO@0.1."""
    values = {"test/aupro_10": 0.125, "test/aupro_100": 0.625, "test/aupro_305": 0.375}
    write_run(tmp_path / "lone", metrics=values)
    report.main([str(tmp_path / "lone"), "--output", str(tmp_path / "out")])
    page = (tmp_path / "out" / "report.html").read_text()
    shown = re.findall(r"<span>(AUPRO@[^<]+)</span>", page)
    assert shown == [f"AUPRO@{limit}" for limit in ("0.3", "0.05", "0.1", "1", "0.305")]
    frame = pd.read_csv(tmp_path / "out" / "results.csv")
    assert frame[list(values)].iloc[0].to_dict() == values


def test_a_winner_measured_where_it_was_chosen_is_an_oracle(study_root):
    study = collect([study_root])
    winner = choose_winner(study, AUROC, Search())
    assert winner is not None
    assert (winner.setting, winner.name) == ("loss.K=3", "oracle/image_auroc")
    assert winner.reported is None


def test_a_winner_on_what_was_kept_out_is_a_result(study_root):
    study = collect([study_root])
    chosen = Search(categories=("category0", "category1"), seeds=(0,))
    winner = choose_winner(study, AUROC, chosen)
    assert winner is not None and winner.reported is not None
    assert winner.name == AUROC
    assert winner.chosen_on.num_runs == 2
    assert winner.reported.num_runs == 8 * 3 - 2  # other seeds of these categories count as well
    kept = [
        run.record["metrics"][AUROC]
        for run in study.runs
        if run.setting == winner.setting
        and run.seed != 9
        and not (run.category in chosen.categories and run.seed == 0)
    ]
    assert len(kept) == winner.reported.num_runs
    by_category = pd.Series(kept).mean()
    assert winner.reported.mean == pytest.approx(by_category, abs=0.01)


@pytest.mark.parametrize(
    "search, message",
    [
        (Search(categories=("zipper",)), "zipper"),
        (Search(seeds=(77,)), "77"),
        (Search(categories=tuple(f"category{i}" for i in range(8))), "nothing is kept out"),
    ],
)
def test_a_search_that_keeps_nothing_out_is_refused(study_root, search, message):
    with pytest.raises(UserError, match=message):
        check_search(collect([study_root]), search)


def test_pictures_show_every_category_before_a_second_setting(study_root):
    pictures = list(choose_pictures(collect([study_root]), 18))
    assert len(pictures) == 18
    first = pictures[:16]
    assert {picture.run.setting for picture in first} == {"loss.K=1"}
    assert {picture.run.category for picture in first} == {f"category{i}" for i in range(8)}
    assert max(pictures[0].size) <= 1100


@pytest.mark.parametrize(("step", "parts"), [(7, 4), pytest.param(1, 20, marks=pytest.mark.slow)])
def test_pictures_cut_off_or_changed_anywhere_are_left_out(tmp_path, step, parts):
    root = write_study(tmp_path / "study", categories=1, gain=0.02, pictures=True)
    (path, *_) = sorted(root.rglob("misses.png"))
    whole, study = path.read_bytes(), collect([root])
    num_whole = len(list(choose_pictures(study, 18)))
    assert num_whole
    for place in [*range(0, 48, step), *range(48, len(whole), max(1, len(whole) // parts))]:
        path.write_bytes(whole[:place])
        cut = list(choose_pictures(study, 18))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        changed = list(choose_pictures(study, 18))
        assert all(0 < len(pictures) <= num_whole for pictures in (cut, changed))


def test_a_picture_that_says_where_its_pictures_are_is_split_for_dark_pages(tmp_path):
    write_run(tmp_path / "runs" / "one", pictures=True)
    page = Page(2.0, 1.0, 100)
    page.write(0.1, 0.3, "score 1", size=8)
    page.paste(np.full((60, 60, 3), (10, 200, 30), np.uint8), 1.0, 0.2, 0.6, 0.6)
    for figure in CASE_FIGURES.values():
        page.save(tmp_path / "runs" / "one" / "figures" / figure.file)
    picture = next(iter(choose_pictures(collect([tmp_path / "runs"]), 1)))
    assert picture.words is not None

    def pixels(uri: str) -> np.ndarray:
        packed = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
        with Image.open(io.BytesIO(packed)) as image:
            return np.asarray(image.convert("RGBA"))

    alone, words = pixels(picture.uri), pixels(picture.words)
    inside = np.zeros((100, 200), bool)
    inside[20:80, 100:160] = True
    assert ((alone[..., 3] == 255) == inside).all()
    assert np.abs(alone[30:70, 110:150, :3].astype(int) - (10, 200, 30)).max() < 12
    assert (words[inside] == 255).all()
    assert (words[:, :90, :3] < 100).any(), "the text"


def test_published_figures_stand_beside_matching_settings_only(tmp_path):
    for i, category in enumerate(("screw", "bottle", "gear")):
        write_run(
            tmp_path / "runs" / category,
            category=category,
            value=0.95,
            oracle={"oracle/best_image_auroc": 0.981},
            config={"loss.K": 3},
            seed=i,
        )
    write_run(tmp_path / "runs" / "other", category="screw", config={"loss.K": 5})
    report.main([str(tmp_path / "runs"), "--output", str(tmp_path / "out")])
    page = (tmp_path / "out" / "report.html").read_text()
    (section,) = re.findall(
        r'data-metric="test/image_auroc".*?Beside the paper(.*?)</table>', page, re.DOTALL
    )
    assert published.LABEL in section
    rows = re.findall(r'scope="row">(\w+)</th><td>([^<]*)</td>', section)
    assert rows == [("bottle", "loss.K=3"), ("screw", "loss.K=3")]
    assert "93.5" in section and "98.10" in section


@pytest.mark.parametrize(
    "changed, expected",
    [
        ({}, "whole"),
        ({"image.resize": "shorter_side", "image.size": 256, "image.crop": 224}, "crop"),
        ({"image.height": 320}, None),
        ({"backbone.name": "resnet18"}, None),
        ({"dataset.limit_train": 10}, None),
    ],
)
def test_which_published_figures_match(tmp_path, changed, expected):
    write_run(tmp_path / "run", config=changed)
    (run,) = collect([tmp_path]).runs
    assert published.published_for(run.config) == expected


def test_published_means_are_those_the_paper_prints():
    means = {
        name: [sum(column) / len(figures) for column in zip(*figures.values(), strict=True)]
        for name, figures in published.FIGURES.items()
    }
    assert means["crop"] == [pytest.approx(99.3, abs=0.05), pytest.approx(98.2, abs=0.05)]
    assert means["whole"] == [pytest.approx(99.04, abs=0.005), pytest.approx(98.45, abs=0.005)]


@pytest.mark.parametrize(
    "arguments, parts",
    [
        (["nowhere"], ["nowhere is no folder"]),
        (["empty"], ["no complete run in empty", "no run folder"]),
        (["bad"], ["no complete run in bad", "1 failed"]),
        (["good", "--baseline", "loss.K=9"], ["fits no setting", "all runs"]),
        (["good", "--search-seeds", "x"], ["--search-seeds", "whole numbers"]),
        (["good", "--search-seeds", "5"], ["5", "there are: 0"]),
        (["good", "--output", "file"], ["--output file is a file"]),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tmp_path, monkeypatch, arguments, parts):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("file").write_text("")
    write_run(Path("bad/run"), status="failed")
    write_run(Path("good/run"))
    with pytest.raises(UserError) as caught:
        report.main(arguments)
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("report").exists()


def test_the_command_line_serves_it(tmp_path):
    write_run(tmp_path / "runs" / "one")
    command = [sys.executable, "-m", "cfa_lab", "report"]
    done = subprocess.run(
        [*command, "runs"], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert "report/report.html" in done.stdout
    failed = subprocess.run(
        [*command, "nowhere"], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith("cfa_lab: nowhere is no folder")


@pytest.mark.parametrize(
    ("optimizer", "named"), [("adamw", True), ("closed_form", False)], ids=["trained", "solved"]
)
def test_what_all_runs_share_names_no_key_that_had_no_part(tmp_path, optimizer: str, named: bool):
    for seed in (0, 1):
        write_run(
            tmp_path / str(seed),
            seed=seed,
            config={"optimizer.name": optimizer, "trainer.epochs": 30},
        )
    line = head(collect([tmp_path])).splitlines()[1]
    assert line.startswith("In all runs: ")
    assert ("trainer.epochs=30" in line) == named
    assert "preset=lab" in line
