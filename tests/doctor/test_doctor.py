"""The doctor names whatever would spoil a run; a run that can know it says so too."""

import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.broken import BROKEN, DEFECT, MASK, TRAIN, Broken
from helpers.tiny import TINY_RUN
from PIL import Image

from cfa_lab import doctor
from cfa_lab.cli import compose
from cfa_lab.data.toy import write_toy_layout
from cfa_lab.errors import UserError
from cfa_lab.run.run import run

SMALL = ["image.height=32", "image.width=32", "trainer.epochs=1", "evaluation.cases=0"]
RUN = [a for a in TINY_RUN if not a.startswith(("dataset=", "category="))] + SMALL


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("healthy")
    for layout in {case.layout for case in BROKEN}:
        write_toy_layout(layout, root / layout, "toy", size=48)
    return root


def settings(layout: str, root: Path) -> list[str]:
    category = layout if layout in ("kolektor", "kolektor2", "magnetic_tile") else "toy"
    return [f"dataset={layout}", f"dataset.root={root}", f"category={category}"]


def examine(capsys, arguments: list[str], folder: Path) -> tuple[str, str]:
    """The doctor's output and the error it ended with, empty for none."""
    try:
        doctor.main([*arguments, "--sheets", str(folder / "sheets")], compose)
    except UserError as error:
        assert "\n" not in str(error)
        return capsys.readouterr().out, str(error)
    return capsys.readouterr().out, ""


@pytest.mark.parametrize("layout", sorted({case.layout for case in BROKEN}))
def test_healthy_data_sets_pass_and_get_a_sheet(healthy, capsys, tmp_path, layout):
    out, error = examine(capsys, settings(layout, healthy / layout), tmp_path)
    assert not error and "wrong" not in out
    (sheet,) = (tmp_path / "sheets").iterdir()
    with Image.open(sheet) as image:
        assert image.size[0] == 8 * 150 + 6


def test_folders_of_good_and_of_bad_images_are_told_from_what_was_looked_for(
    tiny_root: Path, capsys, tmp_path: Path
):
    """What a newcomer types first: nothing but the folder."""
    shutil.copytree(tiny_root / "square/train/good", tmp_path / "parts/ok")
    shutil.copytree(tiny_root / "square/test/spot", tmp_path / "parts/ng")
    out, error = examine(capsys, [f"dataset.root={tmp_path / 'parts'}"], tmp_path)
    assert "1 finding would spoil a run" in error
    assert "it looks like the layout folder: use dataset=folder, or dataset=auto" in out
    out, error = examine(capsys, ["dataset=auto", f"dataset.root={tmp_path / 'parts'}"], tmp_path)
    assert not error
    assert re.search(r"train +4  good 4", out)
    with pytest.raises(UserError, match="good and one of bad images, are found by dataset=auto"):
        run(compose([*RUN, "dataset=mvtec", f"dataset.root={tmp_path / 'parts'}"]), tmp_path / "r")


def test_there_are_25_kinds_and_more():
    assert len({case.name for case in BROKEN}) == len(BROKEN) >= 25
    assert len([case for case in BROKEN if case.run != "-"]) >= 25


@pytest.mark.parametrize("case", BROKEN, ids=str)
def test_the_doctor_has_a_line_for(healthy, capsys, tmp_path, case: Broken):
    root = shutil.copytree(healthy / case.layout, tmp_path / "data")
    case.damage(root)
    out, error = examine(capsys, settings(case.layout, root), tmp_path)
    assert error
    lines = [line for line in (*out.splitlines(), error) if case.line in line]
    assert len(lines) == 1, (out, error)
    assert lines[0].startswith("  wrong  ") or lines[0] == error


@pytest.mark.parametrize("case", [case for case in BROKEN if case.run != "-"], ids=str)
def test_a_run_has_a_line_for(healthy, tmp_path, caplog, monkeypatch, case: Broken):
    monkeypatch.setattr(
        "cfa_lab.run.outputs.draw_figures", lambda *a, **k: ([], [])
    )  # slow, tested apart
    root = shutil.copytree(healthy / case.layout, tmp_path / "data")
    case.damage(root)
    config = compose([*RUN, *settings(case.layout, root)])
    line, folder = case.in_run or case.line, tmp_path / "run"
    caplog.set_level(logging.WARNING, "cfa_lab")
    if case.run == "warns":
        run(config, folder)
        assert len([m for m in caplog.messages if line in m]) == 1, caplog.messages
        return
    with pytest.raises(UserError) as caught:
        run(config, folder)
    assert line in str(caught.value) and "\n" not in str(caught.value)
    if case.run == "refused":
        assert not folder.exists()


def test_all_categories_are_examined_though_one_is_broken(healthy, capsys, tmp_path):
    for name in ("first", "second"):
        shutil.copytree(healthy / "mvtec" / "toy", tmp_path / "data" / name)
    shutil.rmtree(tmp_path / "data/first/train")
    arguments = ["dataset=mvtec", f"dataset.root={tmp_path / 'data'}"]
    out, error = examine(capsys, arguments, tmp_path)
    assert "first" in out and "no training images" in out
    assert (tmp_path / "sheets/second.png").is_file()
    assert error == "1 finding would spoil a run, told above"


def test_names_alone_open_no_file(healthy, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = shutil.copytree(healthy / "mvtec", tmp_path / "data")
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    doctor.main([*settings("mvtec", root), "--names"], compose)
    assert "train" in capsys.readouterr().out
    assert not (tmp_path / "outputs").exists()


def test_notes_are_no_reason_to_fail(healthy, capsys, tmp_path):
    root = shutil.copytree(healthy / "mvtec", tmp_path / "data")
    image = Image.open(root / TRAIN)
    image.convert("L").save(root / TRAIN)
    shutil.copy(root / "toy/train/good/001.png", root / "toy/train/good/900.png")
    wide = Image.open(root / "toy/train/good/002.png").resize((96, 48))
    wide.save(root / "toy/train/good/002.png")
    out, error = examine(capsys, settings("mvtec", root), tmp_path)
    assert not error
    for part in ("colour modes are mixed: RGB 17, L 1", "twice in one split", "1.00 to 2.00"):
        assert part in out


def test_a_crop_that_loses_defects_is_told_with_its_share(healthy, capsys, tmp_path):
    root = shutil.copytree(healthy / "mvtec", tmp_path / "data")
    for path in (root / "toy/ground_truth").rglob("*.png"):
        mask = np.zeros((48, 48), dtype=np.uint8)
        mask[:4, :4] = mask[22:26, 22:26] = 255
        Image.fromarray(mask).save(path)
    crop = ["image.height=48", "image.width=48", "image.crop=24"]
    out, _ = examine(capsys, [*settings("mvtec", root), *crop], tmp_path)
    assert "50% of the defect pixels lie outside what the network sees" in out


def test_an_unreadable_image_does_not_keep_the_sheet_from_being_drawn(healthy, capsys, tmp_path):
    root = shutil.copytree(healthy / "mvtec", tmp_path / "data")
    (root / DEFECT).write_bytes(b"")
    (root / MASK).write_bytes(b"")
    out, error = examine(capsys, settings("mvtec", root), tmp_path)
    assert out.count("wrong") == 2 and error.startswith("2 findings")
    assert (tmp_path / "sheets/toy.png").is_file()


def test_sources_name_licences_and_words_without_value_are_refused(capsys):
    doctor.main(["--sources"], compose)
    out = capsys.readouterr().out
    assert out.count("licence:") >= 10 and "CC BY-NC-SA 4.0" in out and "dataset=visa" in out
    with pytest.raises(UserError, match="doctor got 'mvtec'; give settings as key=value"):
        doctor.main(["mvtec"], compose)


def test_the_command_line_exits_with_one_where_a_run_would_be_spoiled(healthy, tmp_path):
    root = shutil.copytree(healthy / "mvtec", tmp_path / "data")
    (root / TRAIN).write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-m", "cfa_lab", "doctor", "dataset=auto", f"dataset.root={root}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 1
    assert done.stderr == "cfa_lab: 1 finding would spoil a run, told above\n"
    assert "layout mvtec" in done.stdout and "not an image" in done.stdout
    assert (tmp_path / "outputs/doctor/toy.png").is_file()
