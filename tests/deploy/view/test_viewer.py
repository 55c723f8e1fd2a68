import shutil
from typing import Any

import numpy as np
import pytest

from cfa_lab.deploy.runtime_torch import load_run
from cfa_lab.deploy.view import texts
from cfa_lab.deploy.view.viewer import AT_A_POSITION, Viewer
from cfa_lab.errors import UserError

PATH = "square/test/spot/000.png"


def look_at(folder) -> Any:
    return Viewer(load_run(folder), folder)


@pytest.fixture
def copied(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


def test_the_runs_images_are_listed_tested_ones_first_with_their_scores(viewer, run_scores):
    labels, paths = zip(*viewer.choices, strict=True)
    assert len(paths) == 11 and set(paths[:6]) == set(run_scores)
    assert f"{float(run_scores[PATH]):.4g}" in labels[paths.index(PATH)]
    assert "(validation, good)" in labels[6]


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "", "square/test/spot/9.png"])
def test_only_the_runs_own_images_are_opened(viewer, path):
    with pytest.raises(UserError, match="is no image of this run"):
        viewer.open(path)


def test_averages_show_training_images_at_their_position_others_the_nearest_patch(viewer):
    examined = viewer.open(PATH)
    num_positions = examined.grid[0] * examined.grid[1]
    patches = [examined.patch_at(y, x) for y in range(2, 40, 4) for x in range(2, 48, 4)]
    shown = {True: AT_A_POSITION, False: 1}
    for wanted in (True, False):
        patch = next(p for p in patches if (p.entries[0] < num_positions) == wanted)
        found = viewer.behind(examined, patch)
        assert not viewer.needs_search(examined, patch)
        assert len(found) == 1 + sum(shown[e < num_positions] for e in patch.entries)
        _, caption = found[1]
        said = "neighbour 1, in its average" if wanted else "neighbour 1"
        assert caption.startswith(f"{said}: square/train/good/")
        row, column = divmod(patch.entries[0], examined.grid[1])
        assert not wanted or caption.endswith(f", row {row}, column {column}")
        assert all(picture.dtype == np.uint8 for picture, _ in found)


def test_where_the_data_set_is_gone_it_says_so_and_uploads_work(copied, viewer, tmp_path):
    record = copied / "metrics.json"
    root = str(viewer.table.root)
    record.write_text(record.read_text().replace(root, "/nowhere/at/all"))
    alone = look_at(copied)
    assert alone.choices == [] and "not there any more (/nowhere/at/all)" in alone.why_no_images
    shutil.copy(viewer.table.absolute(PATH), tmp_path / "part.png")
    examined = alone.upload(tmp_path / "part.png")
    assert examined.scored.score == viewer.open(PATH).scored.score
    patch = examined.patch_at(20, 20)
    assert not alone.needs_search(examined, patch)
    ((_, caption),) = alone.behind(examined, patch)
    assert caption == "the patch that was clicked"
    assert len(alone.scores) == 6


def test_a_models_folder_alone_says_what_it_does_not_know(copied, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.json", "model.safetensors"):
        shutil.copy(copied / name, folder)
    alone = look_at(folder)
    assert "no record of its data set" in alone.why_no_images
    assert "unknown kind" in texts.heading(alone)
    assert "nothing can be counted" in texts.counts(alone.scores, 1.0)
    assert alone.slider(None)[0] > 0


def test_damaged_predictions_are_told(copied):
    (copied / "predictions.csv").write_text("path,score\na,1\n")
    with pytest.raises(UserError, match="no table of a run's predictions"):
        look_at(copied)


def test_a_record_of_another_version_is_told(copied):
    record = copied / "metrics.json"
    record.write_text(record.read_text().replace('"seed"', '"sead"', 1))
    assert "is of another version" in str(look_at(copied).why_no_images)


def test_sliders_reach_beyond_every_score_in_steps_of_a_power_of_ten(viewer):
    own = viewer.description.thresholds.image
    high, step = viewer.slider(own)
    assert high > max(own, viewer.scores.extent[1], viewer.colour_range[1])
    assert high / step == pytest.approx(round(high / step)) and 200 <= high / step <= 2001


def test_without_thresholds_nothing_is_decided(run_without_thresholds):
    viewer = look_at(run_without_thresholds)
    examined = viewer.open(PATH)
    assert "nothing is decided" in texts.counts(viewer.scores, None)
    assert "no decision" in texts.findings(examined, None, None)
    assert "called" in texts.findings(examined, 0.0, None)
    assert "nothing is decided until you move this" in texts.origin(viewer.description, None)


def test_words_from_files_cannot_become_marks_of_the_page():
    assert texts._plain("a*b_<c>\n[d](e)") == r"a\*b\_\<c\> \[d\]\(e\)"
