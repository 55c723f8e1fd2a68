"""Layouts of other packages: found by name and by `auto`, run to metrics, no danger to others."""

import json
import logging
from pathlib import Path

import pytest
from helpers.packages import installed
from helpers.tiny import TINY_RUN, compose, write_tiny

from cfa_lab.data import categories, read_samples
from cfa_lab.data.layouts import LAYOUTS, locate
from cfa_lab.data.toy import write_toy_layout
from cfa_lab.errors import UserError
from cfa_lab.run.run import run

SHELF = """
from cfa_lab.data.layouts import Layout, Listing
from cfa_lab.data.samples import Sample


def categories(root, options):
    return sorted(path.name.removeprefix("shelf-") for path in root.glob("shelf-*"))


def listing(root, category, options):
    base = f"shelf-{category}"
    samples = []
    for path in sorted(root.glob(f"{base}/*.png")):
        kind = path.stem.split("_")[0]
        masks = (f"{base}/masks/{path.name}",) if kind == "spot" else ()
        split = "train" if kind == "fit" else "test"
        label = int(kind == "spot")
        kind = kind if label else "good"
        samples.append(Sample(f"{base}/{path.name}", split, label, kind, masks))
    return Listing(samples=samples)


SHELF = Layout(
    categories=categories,
    listing=listing,
    matches=lambda root, options: any(root.glob("shelf-*")),
    structure="shelf-<category>/<kind>_<number>.png",
    source="From the test",
)
NOTHING = 3
CRASHING = Layout(
    categories=categories, listing=listing, matches=lambda root, options: 1 / 0,
    structure="", source="",
)
"""


def offer(tmp_path: Path, package: str = "shelf-layouts", **points: str):
    modules = {
        f"{package.replace('-', '_')}_module": SHELF,
        f"{package[0]}_broken": "import nowhere",
    }
    return installed(tmp_path / package, package, modules, {"cfa_lab.layouts": points})


MODULE = "shelf_layouts_module"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """The tiny data set as the other package's layout has it."""
    write_tiny(tmp_path / "tiny")
    root = tmp_path / "archive" / "data"
    base = root / "shelf-square"
    (base / "masks").mkdir(parents=True)
    for place, kind in (("train/good", "fit"), ("test/good", "good"), ("test/spot", "spot")):
        for path in (tmp_path / "tiny" / place).iterdir():
            path.rename(base / f"{kind}_{path.name}")
    for path in (tmp_path / "tiny/ground_truth/spot").iterdir():
        path.rename(base / "masks" / f"spot_{path.name.replace('_mask', '')}")
    return root


@pytest.mark.parametrize("layout", ["shelf", "auto"])
def test_a_run_reads_the_layout_of_an_installed_package(tmp_path: Path, shelf: Path, layout: str):
    usual = [a for a in TINY_RUN if not a.startswith("dataset=")]
    chosen = ["dataset=auto", f"dataset.layout={layout}", f"dataset.root={shelf}"]
    with offer(tmp_path, shelf=f"{MODULE}:SHELF"):
        run(compose(*usual, *chosen), tmp_path / "run")
    record = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert record["status"] == "complete" and record["protocol"]["layout"] == "shelf"
    assert (record["protocol"]["num_train"], record["protocol"]["num_test_defect"]) == (5, 3)
    assert record["metrics"]["test/pixel_auroc"] is not None


def test_it_is_found_inside_the_folder_of_an_archive_too(tmp_path: Path, shelf: Path):
    with offer(tmp_path, shelf=f"{MODULE}:SHELF"):
        for layout in ("shelf", "auto"):
            assert locate(
                layout,
                shelf.parent,
            ) == ("shelf", shelf)
            assert categories(layout, shelf.parent) == ["square"]


def refusal(layout: str, root: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_samples(layout, root, "square")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "value, reason",
    [
        ("s_broken:SHELF", "ModuleNotFoundError: No module named 'nowhere'"),
        ("nowhere.at.all:SHELF", "ModuleNotFoundError: No module named 'nowhere'"),
        (f"{MODULE}:MISSING", "AttributeError"),
        (f"{MODULE}:NOTHING", "is a int; it must be a cfa_lab.data.layouts.Layout"),
    ],
)
def test_a_broken_package_is_named_where_its_layout_is_asked_for_and_spoils_no_other_run(
    tmp_path: Path, shelf: Path, caplog, value: str, reason: str
):
    write_toy_layout("mvtec", tmp_path / "ours", "square", size=32)
    with offer(tmp_path, broken=value, shelf=f"{MODULE}:SHELF"):
        message = refusal("broken", shelf)
        assert message.startswith("layout 'broken' of package shelf-layouts")
        assert value in message and reason in message
        assert read_samples("shelf", shelf, "square").train
        assert read_samples("auto", tmp_path / "ours", "square").layout == "mvtec"
        assert not caplog.records
        assert read_samples("auto", shelf, "square").layout == "shelf"
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert "package shelf-layouts" in caplog.text and "left out" in caplog.text


def test_a_layout_that_crashes_while_looking_is_passed_over(tmp_path: Path, shelf: Path, caplog):
    with offer(tmp_path, a=f"{MODULE}:CRASHING", shelf=f"{MODULE}:SHELF"):
        assert read_samples("auto", shelf, "square").layout == "shelf"
    assert "layout 'a' fails" in caplog.text and "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("name", ["auto", "toy", "rd_mvtec", *LAYOUTS])
def test_our_own_names_stay_ours(tmp_path: Path, shelf: Path, caplog, name: str):
    with offer(tmp_path, **{name: f"{MODULE}:SHELF"}):
        if name in LAYOUTS:
            write_toy_layout(name, tmp_path / "ours", name, size=32)
            assert read_samples(name, tmp_path / "ours", name).layout == name
        assert "no layout that is known" in refusal("auto", shelf)
    assert f"layout '{name}' has the name of one of cfa_lab's own" in caplog.text


def test_a_name_that_two_packages_offer_is_refused(tmp_path: Path, shelf: Path):
    with (
        offer(tmp_path, shelf=f"{MODULE}:SHELF"),
        offer(tmp_path, "another-shelf", shelf="another_shelf_module:SHELF"),
    ):
        message = refusal("shelf", shelf)
        assert "several packages offer a layout 'shelf': another-shelf, shelf-layouts" in message
        assert "no layout that is known" in refusal("auto", shelf)


def test_unknown_names_and_missing_roots_tell_of_installed_layouts_too(tmp_path: Path, shelf: Path):
    assert refusal("shelf", shelf).startswith("unknown data layout 'shelf'; known: auto, btad")
    with offer(tmp_path, shelf=f"{MODULE}:SHELF"):
        assert "real_iad, shelf, visa" in refusal("shelves", shelf)
        missing = refusal("shelf", tmp_path / "missing")
        assert "looked for shelf-<category>/<kind>_<number>.png under it. From the test" in missing
        assert "folder, shelf (docs/" in refusal("auto", tmp_path / "shelf-layouts")


@pytest.mark.parametrize("wrong", ['"tests"', "label=2"])
def test_samples_that_would_be_lost_are_refused(tmp_path: Path, shelf: Path, wrong: str):
    source = (
        SHELF.replace('"test"', wrong)
        if wrong.startswith('"')
        else SHELF.replace('int(kind == "spot")', "2")
    )
    points = {"cfa_lab.layouts": {"shelf": "wrong_shelf:SHELF"}}
    with installed(tmp_path / "wrong", "wrong", {"wrong_shelf": source}, points):
        assert "allowed: train, validation, test, and 0" in refusal("shelf", shelf)
