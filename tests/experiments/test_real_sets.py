"""The real sets are made from downloads of the published structure, or not at all."""

import importlib.util
import shutil
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cfa_lab.data.layouts import read_samples

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "real_sets.py"


@pytest.fixture(scope="module")
def real_sets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("real_sets", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["real_sets"] = module
    spec.loader.exec_module(module)
    return module


def scene(number: int, width: int, height: int) -> np.ndarray:
    """Smooth blobs (height, width, 3), other ones for each number."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def spot(width: int, height: int, *, colours: tuple[Any, Any]) -> Image.Image:
    """A mask whose defect is a rectangle in the second colour, on a ground of the first."""
    values = np.full((height, width, 3), colours[0], np.uint8)
    values[height // 3 : height // 2, width // 4 : width // 2] = colours[1]
    return Image.fromarray(values)


def save(image: Image.Image | np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(path)


@pytest.fixture
def downloads(tmp_path: Path) -> dict[str, Path]:
    """Both downloads as folders, small."""
    amazon = tmp_path / "amazon-lookout-for-vision-main"
    cookies = amazon / "computer-vision-defect-detection" / "cookie-dataset"
    size = (768, 1025)
    for i in (1, 2):
        save(scene(i, *size), cookies / f"dataset-files/training-images/normal-{i}.jpg")
        save(scene(5 + i, *size), cookies / f"dataset-files/training-images/anomaly-{i}.jpg")
        mask = spot(*size, colours=((255, 255, 255), (44, 160, 44)))
        save(mask, cookies / f"dataset-files/mask-images/anomaly-{i}.png")
    save(scene(9, *size), cookies / "test-images/test-normal-1.jpg")
    save(scene(9, 64, 64), amazon / "aliens-dataset/normal/1.png")
    tiles = tmp_path / "Magnetic-tile-defect-datasets.-master"
    for i in (1, 2, 3):
        save(scene(20 + i, 90, 120)[..., 0], tiles / f"MT_Free/Imgs/exp1_num_{i}.jpg")
    save(scene(30, 90, 120)[..., 0], tiles / "MT_Crack/Imgs/exp1_num_9.jpg")
    save(spot(90, 120, colours=(0, 255)).convert("L"), tiles / "MT_Crack/Imgs/exp1_num_9.png")
    return {"cookies": amazon, "magnetic_tile": tiles}


@pytest.fixture
def listed(real_sets: ModuleType, downloads: dict[str, Path], tmp_path: Path) -> Path:
    """The list of the sets that were made of these downloads once."""
    names = {
        "cookies/train/good": ("normal-1.jpg", "normal-2.jpg"),
        "cookies/test/good": ("test-normal-1.jpg",),
        "cookies/test/broken": ("anomaly-1.jpg", "anomaly-2.jpg"),
        "cookies/ground_truth/broken": ("anomaly-1_mask.png", "anomaly-2_mask.png"),
        "magnetic_tile/train/good": ("exp1_num_1.jpg", "exp1_num_3.jpg"),
        "magnetic_tile/test/good": ("exp1_num_2.jpg",),
        "magnetic_tile/test/crack": ("exp1_num_9.jpg",),
        "magnetic_tile/ground_truth/crack": ("exp1_num_9_mask.png",),
    }
    root = tmp_path / "studied"
    for path in [f"{folder}/{name}" for folder, many in names.items() for name in many]:
        category = path.partition("/")[0]
        found = real_sets.files_of(downloads[category])
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        source = real_sets.original(path, found, downloads[category])
        real_sets.bring(source, root / path, category)
    real_sets.write_list(root, tmp_path / "list.csv")
    return tmp_path / "list.csv"


def zipped(folder: Path) -> Path:
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.*")):
            file.write(path, path.relative_to(folder.parent))
    return archive


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "folder"])
def test_both_sets_are_made_and_can_be_read(
    real_sets, downloads, listed: Path, tmp_path: Path, capsys, packed: bool
):
    root = tmp_path / "mvtec"
    for name, folder in downloads.items():
        download = zipped(folder) if packed else folder
        real_sets.main([name, str(download), "--to", str(root)], listed)
        assert f"category={name}" in capsys.readouterr().out
    assert sorted(path.name for path in root.iterdir()) == ["cookies", "magnetic_tile"]
    cookies = read_samples("mvtec", root, "cookies")
    assert len(cookies.train) == 2
    assert [sample.defect for sample in cookies.test] == ["broken", "broken", "good"]
    with Image.open(root / "cookies/test/broken/anomaly-1.jpg") as photo:
        assert photo.size == (512, 683)
    mask = np.asarray(Image.open(root / "cookies/ground_truth/broken/anomaly-1_mask.png"))
    assert set(np.unique(mask)) == {0, 255}
    assert (mask > 0).mean() == pytest.approx(1 / 6 * 1 / 4, rel=0.02)
    tiles = read_samples("mvtec", root, "magnetic_tile")
    assert [len(tiles.train), len(tiles.test)] == [2, 2]
    source = downloads["magnetic_tile"] / "MT_Free/Imgs/exp1_num_1.jpg"
    copy = root / "magnetic_tile/train/good/exp1_num_1.jpg"
    assert copy.read_bytes() == source.read_bytes()


def refused(real_sets, arguments: list[str], listed: Path, capsys) -> str:
    with pytest.raises(SystemExit) as end:
        real_sets.main(arguments, listed)
    message = str(end.value)
    assert message.startswith("real_sets: ")
    assert "\n" not in message
    return message


def test_photographs_coded_otherwise_are_taken_and_others_are_not(
    real_sets, downloads, listed: Path, tmp_path: Path, capsys
):
    tile = downloads["magnetic_tile"] / "MT_Free/Imgs/exp1_num_1.jpg"
    Image.open(tile).save(tile, quality=70)
    call = ["magnetic_tile", str(downloads["magnetic_tile"]), "--to"]
    real_sets.main([*call, str(tmp_path / "coded")], listed)
    assert "4 of 5 files byte for byte as studied; the other 1 look" in capsys.readouterr().out
    save(scene(77, 90, 120)[..., 0], tile)
    message = refused(real_sets, [*call, str(tmp_path / "other")], listed, capsys)
    assert "1 of 5 files are not those that were studied" in message
    assert "magnetic_tile/train/good/exp1_num_1.jpg" in message
    assert list((tmp_path / "other").iterdir()) == [], "nothing is left behind"


def test_a_mask_of_another_area_is_not_taken(real_sets, downloads, listed, tmp_path, capsys):
    mask = downloads["magnetic_tile"] / "MT_Crack/Imgs/exp1_num_9.png"
    Image.new("L", (90, 120), 0).save(mask)
    call = ["magnetic_tile", str(downloads["magnetic_tile"]), "--to", str(tmp_path / "root")]
    assert "exp1_num_9_mask.png" in refused(real_sets, call, listed, capsys)


def test_what_is_missing_damaged_or_there_already_is_told(
    real_sets, downloads, listed: Path, tmp_path: Path, capsys
):
    root = str(tmp_path / "root")
    cookies = downloads["cookies"]
    message = refused(
        real_sets, ["cookies", str(tmp_path / "no.zip"), "--to", root], listed, capsys
    )
    assert "no.zip is not there" in message
    archive = tmp_path / "broken.zip"
    archive.write_bytes(zipped(cookies).read_bytes()[:5000])
    assert "archive" in refused(real_sets, ["cookies", str(archive), "--to", root], listed, capsys)
    assert not list((tmp_path / "root").iterdir())
    copy = cookies / "old/training-images/normal-1.jpg"
    save(scene(50, 40, 40), copy)
    message = refused(real_sets, ["cookies", str(cookies), "--to", root], listed, capsys)
    assert "training-images/normal-1.jpg more than once" in message
    shutil.rmtree(cookies / "old")
    real_sets.main(["cookies", str(cookies), "--to", root], listed)
    message = refused(real_sets, ["cookies", str(cookies), "--to", root], listed, capsys)
    assert "is there already; name another root with --to" in message
    (
        cookies / "computer-vision-defect-detection/cookie-dataset/test-images/test-normal-1.jpg"
    ).unlink()
    call = ["cookies", str(cookies), "--to", str(tmp_path / "second")]
    assert "holds no test-images/test-normal-1.jpg" in refused(real_sets, call, listed, capsys)


def test_the_published_list_has_the_numbers_that_the_document_tells(real_sets):
    files = real_sets.read_list()
    counts = {
        folder: sum(item.path.startswith(f"{folder}/") for item in files)
        for folder in (
            *("cookies/train", "cookies/test/good", "cookies/test/broken"),
            *("magnetic_tile/train", "magnetic_tile/test/good", "magnetic_tile/ground_truth"),
        )
    }
    assert list(counts.values()) == [31, 14, 32, 758, 194, 388]
    assert all(item.defect_pixels > 0 for item in files if "/ground_truth/" in item.path)
    ends = {real_sets.original_name(item.path)[0] for item in files}
    assert ends == {
        *("training-images", "test-images", "mask-images", "MT_Free"),
        *("MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray", "MT_Uneven"),
    }
