"""Every folder layout, written as a user has it, read by name and by `auto`, and run to metrics."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny import TINY_RUN, compose

from cfa_lab.data import LAYOUTS, Options, SampleTable, categories, load_mask, read_samples
from cfa_lab.data.images import decode_image
from cfa_lab.data.masks import load_mask_channels
from cfa_lab.data.toy import write_toy_layout
from cfa_lab.errors import UserError
from cfa_lab.run.run import run


def category_of(layout: str) -> str:
    return "tubes" if layout == "mpdd" else layout


@pytest.fixture(scope="session")
def toys(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("toys")
    for layout in LAYOUTS:
        write_toy_layout(layout, root / layout, category_of(layout), size=48)
    return root


def read(toys: Path, layout: str, **options) -> SampleTable:
    return read_samples(layout, toys / layout, category_of(layout), Options(**options))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_auto_finds_each_layout_and_reads_it_alike(toys: Path, layout: str):
    named, auto = read(toys, layout), read_samples("auto", toys / layout, category_of(layout))
    assert auto == named
    assert named.layout == layout
    assert categories("auto", toys / layout) == [category_of(layout)]
    counts = Counter((s.split, s.label) for s in named.samples)
    assert counts["train", 0] >= 5 and counts["train", 1] == 0
    assert counts["test", 0] >= 2 and counts["test", 1] >= 1
    assert all(bool(s.masks) == bool(s.label) for s in named.samples)
    assert named.unused_masks == ()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_lie_on_what_differs_and_nowhere_else(toys: Path, layout: str):
    """The toy masks are exact: read through any layout, they cover about the drawn share."""
    table = read(toys, layout)
    for sample in table.test:
        image = decode_image(table.absolute(sample.path))
        size = (image.shape[0], image.shape[1])
        paths = [table.absolute(path) for path in sample.masks]
        mask = load_mask(paths, size, above=table.mask_above)
        assert mask.any() == bool(sample.label)
        assert mask.mean() < 0.5


@pytest.mark.parametrize("layout", ["csv", "kolektor", "magnetic_tile"])
@pytest.mark.parametrize("seed", range(5))
def test_drawn_splits_tear_no_group_apart(toys: Path, layout: str, seed: int):
    table = read(toys, layout, seed=seed, test_fraction=0.4)
    train, test = ({s.group for s in samples} for samples in (table.train, table.test))
    assert None not in train | test
    assert not train & test
    assert table.drawn and f"seed {seed}" in table.split_rule


@pytest.mark.parametrize("layout", ["csv", "kolektor", "magnetic_tile", "folder"])
def test_drawn_splits_depend_on_their_seed_alone(toys: Path, layout: str):
    def train(seed: int) -> list[str]:
        return [s.path for s in read(toys, layout, seed=seed, test_fraction=0.4).train]

    assert train(0) == train(0)
    assert len({tuple(train(seed)) for seed in range(6)}) > 1


def test_loco_masks_stay_apart_until_pixels_are_counted(toys: Path):
    table = read(toys, "mvtec_loco")
    assert len(table.validation) == 1
    sample = next(s for s in table.test if len(s.masks) == 2)
    paths = [table.absolute(path) for path in sample.masks]
    channels = load_mask_channels(paths)
    assert channels.shape == (2, 48, 48) and channels.dtype == bool
    assert not (channels[0] & channels[1]).any()
    assert np.array_equal(load_mask(paths, (48, 48)), channels[0] | channels[1])


def test_real_iad_masks_are_cut_at_127_and_views_share_their_item(toys: Path):
    table = read(toys, "real_iad")
    sample = next(s for s in table.test if s.label)
    path = table.absolute(sample.masks[0])
    assert load_mask([path], (48, 48)).all()
    assert 0 < load_mask([path], (48, 48), above=table.mask_above).mean() < 0.5
    assert sorted(Counter(s.group for s in table.train).values()) == [2, 2, 2]


def test_defects_keep_their_names_where_the_data_set_tells_them(toys: Path):
    kinds = {"good", "broken_tooth", "dent", "rust", "scratch"}
    for layout in ("mvtec", "visa", "real_iad", "folder", "csv"):
        assert {s.defect for s in read(toys, layout).test} == kinds, layout
    tiles = {s.defect for s in read(toys, "magnetic_tile").test}
    assert tiles == {"good", "broken_tooth", "dent", "rust", "scratch"}


def test_kolektors_defect_images_of_training_items_are_left_out_and_counted(toys: Path):
    table = read(toys, "kolektor")
    listed = {s.path for s in table.samples}
    left = [p for p in (toys / "kolektor").glob("*/Part*.jpg")]
    missing = [p for p in left if f"{p.parent.name}/{p.name}" not in listed]
    assert f"{len(missing)} defect images of the other items left out" in table.split_rule
    train = {s.group for s in table.train}
    assert missing and all(p.parent.name in train for p in missing)


def test_own_folders_and_index_files_may_bear_any_name(tmp_path: Path):
    """A folder inside that has the usual names must not be taken for the data set instead."""
    write_toy_layout("folder", tmp_path / "parts", "parts", size=32)
    root = tmp_path / "parts" / "parts"
    (root / "normal").rename(root / "lot1")
    (root / "extra").mkdir()
    (root / "dent").rename(root / "extra" / "ok")
    options = Options(normal=("lot1",), defects=("rust",), masks="masks")
    for layout in ("folder", "auto"):
        table = read_samples(layout, root, "parts", options)
        assert {s.path.partition("/")[0] for s in table.samples} == {"lot1", "rust"}
    held = Options(normal=("lot1",), normal_test=("extra/ok",))
    table = read_samples("folder", root, "parts", held)
    assert len([s for s in table.test if s.label == 0]) == 2 and not table.drawn

    write_toy_layout("csv", tmp_path / "listed", "listed", size=32)
    (tmp_path / "listed/index.csv").rename(tmp_path / "listed/my list.csv")
    (tmp_path / "listed/photos/index.csv").write_text("path,label\n")
    table = read_samples("csv", tmp_path / "listed", "listed", Options(index="my list.csv"))
    assert table.root == tmp_path / "listed" and table.test


def test_a_root_with_several_data_sets_and_one_with_none_are_told_apart(toys: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"several data sets: .*visa \(visa\); set dataset\.root"):
        read_samples("auto", toys, "visa")
    (tmp_path / "papers").mkdir()
    with pytest.raises(
        UserError, match=r"no layout that is known; found in it: papers; known: csv"
    ):
        read_samples("auto", tmp_path, "x")
    with pytest.raises(
        UserError, match=r"folder of one category; set dataset\.root to .*mvtec and"
    ):
        read_samples("auto", toys / "mvtec" / "mvtec", "mvtec")


def test_toy_layouts_refuse_unknown_names_and_folders_in_use(tmp_path: Path):
    with pytest.raises(UserError, match="no layout 'imagenet'; known: mvtec"):
        write_toy_layout("imagenet", tmp_path / "a", "x")
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(UserError, match="not empty"):
        write_toy_layout("mvtec", tmp_path, "x")


def check_record(record: dict, layout: str, root: Path) -> None:
    fraction = record["config"]["dataset"]["test_fraction"]
    table = read_samples(layout, root, category_of(layout), Options(test_fraction=fraction))
    protocol = record["protocol"]
    assert record["status"] == "complete" and protocol["layout"] == layout
    assert record["metrics"]["test/pixel_auroc"] is not None
    assert protocol["num_train"] == len(table.train)
    assert protocol["num_test_defect"] == sum(s.label for s in table.test)
    assert protocol["split"] == table.split_rule
    drawn = [s.path for s in table.train] if table.drawn else None
    assert protocol["drawn_for_training"] == drawn


SMALL = ["trainer.epochs=1", "image.height=32", "image.width=32", "evaluation.cases=0"]
RUN = [a for a in TINY_RUN if not a.startswith(("dataset=", "category="))] + SMALL


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_runs_to_metrics(toys: Path, tmp_path: Path, monkeypatch, layout: str):
    monkeypatch.setattr(
        "cfa_lab.run.outputs.draw_figures", lambda *a, **k: ([], [])
    )  # slow, tested apart
    category = f"category={category_of(layout)}"
    run(compose(*RUN, f"dataset={layout}", f"dataset.root={toys / layout}", category), tmp_path)
    check_record(json.loads((tmp_path / "metrics.json").read_text()), layout, toys / layout)


@pytest.mark.slow
def test_one_command_runs_over_layouts_that_it_finds_out(toys: Path, tmp_path: Path):
    command(toys, tmp_path, ["btad", "kolektor"], "dataset=auto", "dataset.test_fraction=0.5")


@pytest.mark.slow
def test_one_command_runs_over_all_layouts(toys: Path, tmp_path: Path):
    layouts = [layout for layout in LAYOUTS if layout != "mpdd"]
    command(toys, tmp_path, layouts, "dataset=auto", "dataset.test_fraction=0.3")


def command(toys: Path, folder: Path, layouts: list[str], *more: str) -> None:
    """Run a multirun over data sets whose category is named like their layout."""
    arguments = [f"dataset.root={toys}/${{category}}", f"category={','.join(layouts)}", *more]
    done = subprocess.run(
        [sys.executable, "-m", "cfa_lab", "-m", *RUN, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(p.read_text()) for p in folder.glob("multirun/*/*/*/metrics.json")]
    assert sorted(r["protocol"]["layout"] for r in records) == sorted(layouts)
    for record in records:
        layout = record["protocol"]["layout"]
        check_record(record, layout, toys / layout)


@pytest.mark.slow
def test_tables_of_150000_images_open_no_image(tmp_path: Path):
    """As many lines as Real-IAD has images, and no image file behind any of them."""
    rows = [f"photos/{i}.png,{int(i % 5 == 4)},tray{i // 3},truth/{i}.png" for i in range(150_000)]
    (tmp_path / "index.csv").write_text("\n".join(["path,label,group,mask", *rows]))
    table = read_samples("auto", tmp_path, tmp_path.name)
    assert table.layout == "csv" and len(table.samples) == 150_000
    assert not {s.group for s in table.train} & {s.group for s in table.test}
    folder = tmp_path / "iad/realiad_jsons/realiad_jsons"
    folder.mkdir(parents=True)
    (tmp_path / "iad/realiad_256/part").mkdir(parents=True)
    entry = {"anomaly_class": "OK", "mask_path": None}
    lists = [{**entry, "image_path": f"OK/S{i // 5:05}/{i}.jpg"} for i in range(150_000)]
    content = {"train": lists[::2], "test": lists[1::2]}
    (folder / "part.json").write_text(json.dumps(content))
    assert len(read_samples("real_iad", tmp_path / "iad", "part").samples) == 150_000
