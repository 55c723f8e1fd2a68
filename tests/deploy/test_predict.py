import csv
import io
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cfa_lab import load
from cfa_lab.deploy.predict import main
from cfa_lab.deploy.table import read_predictions
from cfa_lab.errors import UserError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def images(here, tiny_root) -> Path:
    """The run's test images, and no other."""
    shutil.copytree(tiny_root / "square" / "test", here / "parts")
    return here / "parts"


def table(folder="out"):
    return read_predictions(Path(folder) / "predictions.csv")


def test_scores_and_decisions_are_the_runs_own_bit_for_bit(tiny_run, tiny_root, capsys):
    main([str(tiny_run), str(tiny_root / "square" / "test"), "--out", "out"])
    with (tiny_run / "predictions.csv").open() as file:
        expected = {str(tiny_root / row["path"]): row for row in csv.DictReader(file)}
    rows = table()
    assert [row["path"] for row in rows] == sorted(expected)
    for row in rows:
        assert row["score"] == expected[row["path"]]["score"]
        assert row["decision"] == expected[row["path"]]["decision"]
        assert float(row["milliseconds"]) > 0 and not row["error"]
    assert "images are defects" in capsys.readouterr().out


def test_areas_boxes_overlays_and_maps_belong_to_the_map(tiny_run, images):
    main([str(tiny_run), "parts", "--out", "out", "--maps", "--pixel-threshold", "0"])
    rows = table()
    assert {(row["area"], row["top"], row["width"]) for row in rows} == {("1920", "0", "48")}
    found = load(tiny_run).predict([row["path"] for row in rows])
    for row, expected in zip(rows, found.maps, strict=True):
        stored = tifffile.imread(Path("out/maps") / f"{row['path']}.tiff")
        assert stored.dtype == np.float16
        assert np.array_equal(stored, expected.astype(np.float16))
        with Image.open(Path("out/overlays") / f"{row['path']}.jpg") as overlay:
            assert overlay.size == (48, 40)
    threshold = float(np.median(found.maps[0]))
    main([str(tiny_run), rows[0]["path"], "--out", "other", "--pixel-threshold", str(threshold)])
    assert int(table("other")[0]["area"]) == (found.maps[0] >= threshold).sum()


def test_without_a_threshold_nothing_is_decided_and_it_says_how_to_get_one(
    run_without_thresholds, images, capsys
):
    main([str(run_without_thresholds), "parts", "--out", "out", "--no-overlays"])
    assert {(row["decision"], row["area"]) for row in table()} == {("", "")}
    assert "cfa_lab threshold RUN" in capsys.readouterr().out
    assert not Path("out/overlays").exists()
    main([str(run_without_thresholds), "parts", "--out", "two", "--threshold", "0"])
    assert {row["decision"] for row in table("two")} == {"1"}


def test_one_bad_image_has_its_row_and_the_others_theirs(tiny_run, images):
    (images / "bad.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="1 images could not be scored"):
        main([str(tiny_run), "parts", "--out", "out"])
    rows = {Path(row["path"]).name: row for row in table()}
    assert "bad.png" in rows["bad.png"]["error"] and not rows["bad.png"]["score"]
    assert len(rows) == len(table()) - 3  # good/000.png and spot/000.png have one name
    assert all(row["score"] for name, row in rows.items() if name != "bad.png")
    with pytest.raises(UserError, match="1 images"):  # still not scored
        main([str(tiny_run), "parts", "--out", "out", "--resume"])
    assert len(table()) == 7


def test_paths_from_standard_input(tiny_run, images, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("parts/good/000.png\nparts/none.png\n"))
    with pytest.raises(UserError, match="1 images"):
        main([str(tiny_run), "-", "--out", "out"])
    assert [row["path"] for row in table()] == ["parts/good/000.png", "parts/none.png"]


def test_going_on_scores_what_is_missing_and_what_has_changed(tiny_run, images, capsys):
    main([str(tiny_run), "parts/good", "--out", "out"])
    main([str(tiny_run), "parts", "--out", "out", "--resume"])
    assert "3 scored" in capsys.readouterr().out
    assert len({row["path"] for row in table()}) == len(table()) == 6
    shutil.copy(images / "spot" / "000.png", images / "good" / "000.png")
    main([str(tiny_run), "parts", "--out", "out", "--resume"])
    rows = [row for row in table() if row["path"] == "parts/good/000.png"]
    assert len(rows) == 2 and rows[0]["score"] != rows[1]["score"]


def test_batch_size_changes_no_more_than_rounding(tiny_run, images):
    main([str(tiny_run), "parts", "--out", "one", "--batch-size", "1"])
    main([str(tiny_run), "parts", "--out", "many"])
    for one, many in zip(table("one"), table("many"), strict=True):
        assert float(one["score"]) == pytest.approx(float(many["score"]), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give images"),
        (["parts", "--watch", "parts"], "not both"),
        (["none.png"], "names no image"),
        (["parts", "--batch-size", "0"], "--batch-size is 0"),
        (["parts", "--workers", "0"], "--workers is 0"),
        (["parts", "--threads", "-1"], "--threads is -1"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(tiny_run, images, arguments, said):
    with pytest.raises(UserError, match=said):
        main([str(tiny_run), *arguments, "--out", "out"])
    assert not Path("out").exists()


def test_pictures_of_images_from_elsewhere_stay_apart(tiny_run, images, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "a.png"
    shutil.copy(images / "good" / "000.png", other)
    shutil.copy(images / "good" / "000.png", "a.png")
    main([str(tiny_run), str(other), "a.png", "--out", "out"])
    assert Path("out/overlays/a.png.jpg").is_file()
    assert len(list(Path("out/overlays").rglob("*.jpg"))) == 2


def kill_and_go_on(run: Path, times: list[float]) -> None:
    """Predict `parts`, killed once after each of these seconds from its first row, to its end."""
    command = [sys.executable, "-m", "cfa_lab", "predict", str(run), "parts", "--out", "out"]
    path = Path("out/predictions.csv")
    for seconds in times:
        rows = path.read_bytes().count(b"\n") if path.is_file() else 0
        process = subprocess.Popen(
            [*command, "--resume"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None:
            if path.is_file() and path.read_bytes().count(b"\n") > rows:
                time.sleep(seconds)
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        process.wait()
    assert subprocess.run([*command, "--resume"], stdout=subprocess.DEVNULL).returncode == 0


def multiply(images: Path, count: int) -> None:
    originals = sorted(images.rglob("*.png"))
    for i in range(count):
        shutil.copy(originals[i % len(originals)], images / f"{i:05}.png")


def assert_each_image_once(images: Path) -> None:
    paths = [row["path"] for row in table()]
    assert sorted(paths) == sorted(str(p.relative_to(Path.cwd())) for p in images.rglob("*.png"))
    for path in paths:
        with Image.open(Path("out/overlays") / f"{path}.jpg") as overlay:
            overlay.load()


@pytest.mark.slow
def test_killed_again_and_again_every_image_is_scored_once(tiny_run, images):
    multiply(images, 400)
    kill_and_go_on(tiny_run, [0.0, 0.4])
    assert_each_image_once(images)


@pytest.mark.slow
def test_ten_thousand_images_and_twenty_kills(tiny_run, images):
    multiply(images, 10_000)
    random.seed(0)
    kill_and_go_on(tiny_run, [random.random() * 2 for _ in range(20)])
    assert_each_image_once(images)


MEMORY = """
import resource, sys
from pathlib import Path
from cfa_lab.deploy import predict, table
seen = []
add = table.PredictionTable.add
def noted(self, row):
    add(self, row)
    if len(self.done) in (1000, 10000):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        seen.append(pages * resource.getpagesize())
table.PredictionTable.add = noted
predict.main(sys.argv[1:])
print(seen[1] / seen[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_images(tiny_run, images):
    multiply(images, 10_000)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tiny_run), "parts", "--out", "out"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) < 1.05
