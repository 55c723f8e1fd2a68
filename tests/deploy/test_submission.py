"""Submissions to MVTec AD 2's server: maps and masks of toy trees, and what a check refuses."""

import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers.tiny import TINY_RUN, compose
from PIL import Image

from cfa_lab import load
from cfa_lab.data.toy.layouts import write_toy_layout
from cfa_lab.deploy.submission import main
from cfa_lab.deploy.submission.form import NUM_IMAGES, all_places
from cfa_lab.errors import UserError
from cfa_lab.run.run import run
from cfa_lab.training.model_files import load_description, write_description

SIZES = {"can": 2, "rice": 1}
MAPS, MASKS = "anomaly_images", "anomaly_images_thresholded"


@pytest.fixture(autouse=True)
def small_server(monkeypatch):
    """A server of two objects and few images."""
    for name in [*NUM_IMAGES]:
        monkeypatch.delitem(NUM_IMAGES, name)
    for name, count in SIZES.items():
        monkeypatch.setitem(NUM_IMAGES, name, count)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "mvtec_ad2"
    write_toy_layout("mvtec_ad2", root, "can", num_train=5, num_defects=2)
    shutil.rmtree(root / "can" / "test_private")
    rng = np.random.default_rng(0)
    for category, count in SIZES.items():
        for folder, end in (("test_private", "regular"), ("test_private_mixed", "mixed")):
            for number in range(count):
                pixels = rng.integers(0, 256, (40 + 8 * number, 50, 3), dtype=np.uint8)
                path = root / category / folder / f"{number:03}_{end}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return root


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory) -> Path:
    """A folder with a run of each object; nobody may change it."""
    folder = tmp_path_factory.mktemp("runs")
    said = ["dataset=mvtec_ad2", f"dataset.root={root}", "category=can"]
    run(compose(*TINY_RUN, "trainer.epochs=1", *said), folder / "a")
    shutil.copytree(folder / "a", folder / "b")
    write_description(folder / "b", replace(load_description(folder / "a"), category="rice"))
    return folder


def written(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def test_maps_and_masks_are_written_checked_and_packed(runs, root, tmp_path, capsys):
    out = tmp_path / "mine"
    main([str(runs), "--out", str(out)])
    told = capsys.readouterr().out
    assert "can            4 of 4 images scored" in told
    assert "checked        6 maps, 6 masks" in told
    assert "https://benchmark.mvtec.com" in told
    assert written(out) == sorted(p.path(kind) for p in all_places() for kind in (MAPS, MASKS))
    assert f"{MAPS}/can/test_private_mixed/001_mixed.tiff" in written(out)
    detector = load(runs / "a")
    (found,) = detector.predict([root / "can" / "test_private" / "001_regular.png"]).maps
    map_ = tifffile.imread(out / MAPS / "can" / "test_private" / "001_regular.tiff")
    assert map_.dtype == np.float16 and map_.shape == (48, 50)
    assert np.array_equal(map_, found.astype(np.float16))
    mask = np.asarray(Image.open(out / MASKS / "can" / "test_private" / "001_regular.png"))
    assert detector.thresholds is not None
    assert np.array_equal(mask, np.where(found >= detector.thresholds.pixel, 255, 0))
    main(["--check", str(tmp_path / "mine.tar.gz")])
    with tarfile.open(tmp_path / "mine.tar.gz") as archive:
        assert sorted(archive.getnames()) == [f"mine/{name}" for name in written(out)]
        assert {member.uname for member in archive} == {""}


def test_objects_may_be_added_one_by_one_and_nothing_is_scored_twice(runs, tmp_path, capsys):
    out = tmp_path / "mine"
    main([str(runs / "a"), "--out", str(out)])
    assert "not packed     rice missing" in capsys.readouterr().out
    assert not (tmp_path / "mine.tar.gz").exists()
    (out / MAPS / "can" / "test_private" / "000_regular.tiff").unlink()
    main([str(runs / "a"), str(runs / "b"), "--out", str(out)])
    told = capsys.readouterr().out
    assert "can            1 of 4 images scored" in told and "packed  " in told


def test_another_threshold_makes_an_object_anew(runs, tmp_path, capsys):
    out, other = tmp_path / "mine", shutil.copytree(runs / "b", tmp_path / "b")
    main([str(other), "--out", str(out)])
    description = load_description(other)
    assert description.thresholds is not None
    mask = out / MASKS / "rice" / "test_private" / "000_regular.png"
    below = replace(description.thresholds, pixel=-1.0)
    write_description(other, replace(description, thresholds=below))
    main([str(other), "--out", str(out)])
    assert "2 of 2 images scored, masks from -1 on" in capsys.readouterr().out
    assert (np.asarray(Image.open(mask)) == 255).all()


def test_what_a_crop_leaves_unseen_is_no_defect(runs, tmp_path, capsys):
    folder = shutil.copytree(runs / "b", tmp_path / "b")
    description = load_description(folder)
    assert description.thresholds is not None
    write_description(
        folder,
        replace(
            description,
            image=replace(description.image, crop=32),
            thresholds=replace(description.thresholds, pixel=-1.0),
        ),
    )
    main([str(folder), "--out", str(tmp_path / "mine")])
    assert "the crop leaves pixels unseen" in capsys.readouterr().out
    mask = np.asarray(Image.open(next((tmp_path / "mine" / MASKS).rglob("*.png"))))
    assert mask.shape == (40, 50) and mask[20, 25] == 255 and mask[0].max() == 0
    map_ = tifffile.imread(next((tmp_path / "mine" / MAPS).rglob("*.tiff")))
    assert (map_[0] == map_.min()).all()


def test_maps_alone_are_a_submission_too(runs, tmp_path, capsys):
    main([str(runs), "--no-masks", "--out", str(tmp_path / "mine")])
    assert "6 maps, no masks, so no SegF1" in capsys.readouterr().out


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A submission written by hand."""
    folder = tmp_path_factory.mktemp("whole") / "mine"
    for category, count in SIZES.items():
        for folder_, end in (("test_private", "regular"), ("test_private_mixed", "mixed")):
            for kind in (MAPS, MASKS):
                (folder / kind / category / folder_).mkdir(parents=True)
            for number in range(count):
                name = f"{category}/{folder_}/{number:03}_{end}"
                tifffile.imwrite(folder / MAPS / f"{name}.tiff", np.ones((6, 5), np.float16))
                mask = Image.fromarray(np.full((6, 5), 255, np.uint8))
                mask.save(folder / MASKS / f"{name}.png")
    return folder


def tiff(values: np.ndarray) -> Callable[[Path], object]:
    path = f"{MAPS}/can/test_private/001_regular.tiff"
    form = "rgb" if values.ndim == 3 else "minisblack"
    return lambda folder: tifffile.imwrite(folder / path, values, photometric=form)


def png(values: np.ndarray) -> Callable[[Path], object]:
    path = f"{MASKS}/can/test_private/001_regular.png"
    return lambda folder: Image.fromarray(values).save(folder / path)


HALF, BYTE = np.ones((6, 5), np.float16), np.zeros((6, 5), np.uint8)
WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "float32": (tiff(HALF.astype(np.float32)), "float32 of shape"),
    "colours": (tiff(np.ones((6, 5, 3), np.float16)), r"float16 of shape \(6, 5, 3\)"),
    "NaN": (tiff(HALF * np.float16(np.nan)), "no finite numbers"),
    "grey mask": (png(BYTE + 7), "other than 0 and 255"),
    "RGB mask": (png(np.zeros((6, 5, 3), np.uint8)), "one channel"),
    "small mask": (png(BYTE[:3]), "3 x 5, its map 6 x 5"),
    "no TIFF": (
        lambda f: (f / MAPS / "can/test_private/001_regular.tiff").write_bytes(b"II*"),
        "no TIFF that can be read",
    ),
    "a map less": (
        lambda f: (f / MAPS / "rice/test_private/000_regular.tiff").unlink(),
        "lacks anomaly_images/rice/test_private/000_regular.tiff;",
    ),
    "a mask less": (
        lambda f: (f / MASKS / "can/test_private_mixed/001_mixed.png").unlink(),
        "lacks anomaly_images_thresholded/can",
    ),
    "an object less": (lambda f: shutil.rmtree(f / MAPS / "can"), "and 1 more; the server takes"),
    "another file": (lambda f: (f / "notes.txt").write_text("mine"), "holds notes.txt, which"),
    "one too many": (
        lambda f: shutil.copy(
            f / MAPS / "can/test_private/000_regular.tiff",
            f / MAPS / "can/test_private/002_regular.tiff",
        ),
        "holds anomaly_images/can/test_private/002_regular.tiff, which",
    ),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("packed", [False, True])
def test_what_the_server_would_refuse_is_named(whole, tmp_path, name, packed):
    change, words = WRONG[name]
    folder = shutil.copytree(whole, tmp_path / "mine")
    main(["--check", str(folder)])
    change(folder)
    path = folder
    if packed:
        path = tmp_path / "mine.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(folder, "mine")
    with pytest.raises(UserError, match=words) as caught:
        main(["--check", str(path)])
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_archives_that_are_none_or_packed_in_another_way(whole, tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"no whole \.tar\.gz"):
        main(["--check", str(tmp_path / "a.tar.gz")])
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        archive.add(whole, ".")
    with pytest.raises(UserError, match="at its top"):
        main(["--check", str(tmp_path / "b.tar.gz")])
    content = (tmp_path / "b.tar.gz").read_bytes()
    (tmp_path / "c.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError):
        main(["--check", str(tmp_path / "c.tar.gz")])


def test_mistakes_are_one_line(runs, root, tmp_path):
    out = ["--out", str(tmp_path / "mine")]
    other = shutil.copytree(runs / "a", tmp_path / "other")
    with pytest.raises(UserError, match="both runs of can"):
        main([str(runs / "a"), str(other), *out])
    description = load_description(other)
    write_description(other, replace(description, category="gear"))
    with pytest.raises(UserError, match="'gear', no object of MVTec AD 2"):
        main([str(other), *out])
    write_description(other, replace(description, thresholds=None))
    with pytest.raises(UserError, match="has no thresholds"):
        main([str(other), *out])
    part = shutil.copytree(root, tmp_path / "data")
    (part / "can" / "test_private_mixed" / "001_mixed.png").unlink()
    with pytest.raises(UserError, match=r"has no 001_mixed \(1 of the 4 "):
        main([str(runs / "a"), "--root", str(part), *out])
    with pytest.raises(UserError, match="does not exist"):
        main(["--check", str(tmp_path / "nowhere")])
    with pytest.raises(UserError, match="not both"):
        main([])
    (tmp_path / "mine").mkdir(exist_ok=True)
    (tmp_path / "mine" / "x").write_text("")
    with pytest.raises(UserError, match="is not empty"):
        main([str(runs / "a"), *out])
