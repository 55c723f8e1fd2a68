"""Folder layouts: what is found, which mask belongs to which image, and the errors a user gets."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfa_lab.data import Geometry, categories, load_image, read_samples
from cfa_lab.errors import UserError


def make(root: Path, *files: str) -> Path:
    """Create empty files: a layout that opened one would fail."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def read(root: Path, category: str = "screw"):
    return read_samples("mvtec", root, category)


def refusal(root: Path, category: str = "screw") -> str:
    with pytest.raises(UserError) as caught:
        read(root, category)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_whole_category_is_read(tmp_path: Path):
    make(
        tmp_path,
        "screw/train/good/001.png",
        "screw/train/good/000.png",
        "screw/test/good/000.png",
        "screw/test/thread_side/000.png",
        "screw/test/thread_side/001.png",
        "screw/ground_truth/thread_side/000_mask.png",
        "nut/train/good/000.png",
    )
    table = read(tmp_path)
    assert table.root == tmp_path and table.category == "screw"
    assert [(s.path, s.split, s.label, s.defect, s.masks, s.group) for s in table.samples] == [
        ("screw/test/good/000.png", "test", 0, "good", (), None),
        (
            "screw/test/thread_side/000.png",
            "test",
            1,
            "thread_side",
            ("screw/ground_truth/thread_side/000_mask.png",),
            None,
        ),
        ("screw/test/thread_side/001.png", "test", 1, "thread_side", (), None),
        ("screw/train/good/000.png", "train", 0, "good", (), None),
        ("screw/train/good/001.png", "train", 0, "good", (), None),
    ]


@pytest.mark.parametrize(
    "suffix", ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp", "PNG", "Jpg"]
)
def test_image_and_mask_suffixes_are_free_in_any_letter_case(tmp_path: Path, suffix: str):
    make(
        tmp_path,
        f"screw/train/good/0.{suffix}",
        f"screw/test/bad/0.{suffix}",
        "screw/test/bad/1.png",
        f"screw/ground_truth/bad/1_mask.{suffix}",
    )
    table = read(tmp_path)
    assert [s.path for s in table.train] == [f"screw/train/good/0.{suffix}"]
    assert table.test[1].masks == (f"screw/ground_truth/bad/1_mask.{suffix}",)


def test_a_mask_may_bear_the_plain_stem_but_the_marked_one_wins(tmp_path: Path):
    make(
        tmp_path,
        "screw/train/good/0.png",
        "screw/test/bad/a.b.jpg",
        "screw/test/bad/c.jpg",
        "screw/ground_truth/bad/a.b.png",
        "screw/ground_truth/bad/c.png",
        "screw/ground_truth/bad/c_mask.png",
    )
    assert [s.masks for s in read(tmp_path).test] == [
        ("screw/ground_truth/bad/a.b.png",),
        ("screw/ground_truth/bad/c_mask.png",),
    ]


def test_hidden_files_other_files_and_folders_are_ignored(tmp_path: Path):
    make(
        tmp_path,
        "screw/train/good/0.png",
        "screw/train/good/._0.png",
        "screw/train/good/Thumbs.db",
        "screw/train/good/notes.txt",
        "screw/train/good/png",
        "screw/train/good/folder.png/1.png",
        "screw/test/good/0.png",
        "screw/test/.trash/1.png",
        "screw/test/readme.png",
        ".cache/train/x.png",
        "license.txt",
    )
    assert [s.path for s in read(tmp_path).samples] == [
        "screw/test/good/0.png",
        "screw/train/good/0.png",
        "screw/train/good/folder.png/1.png",
    ]
    assert categories("mvtec", tmp_path) == ["screw"]


@pytest.mark.parametrize("kind", ["good", "bad"])
def test_a_test_set_of_one_kind_is_no_error(tmp_path: Path, kind: str):
    make(tmp_path, "screw/train/good/0.png", f"screw/test/{kind}/0.png")
    assert [s.label for s in read(tmp_path).test] == [int(kind == "bad")]


def test_a_link_out_of_the_root_is_followed_and_a_dangling_one_is_kept(tmp_path: Path):
    make(tmp_path, "elsewhere/0.png", "data/screw/test/good/0.png")
    (tmp_path / "data/screw/train").mkdir()
    (tmp_path / "data/screw/train/good").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/1.png").symlink_to(tmp_path / "gone.png")
    assert len(read(tmp_path / "data").train) == 2


def test_a_link_that_leads_round_fails_by_name_when_it_is_read(tmp_path: Path):
    make(tmp_path, "screw/train/good/0.png", "screw/test/good/0.png")
    images = tmp_path / "screw/train/good"
    (images / "loop.png").symlink_to("loop.png")
    (images / "notes").symlink_to("notes")
    assert [sample.path for sample in read(tmp_path).train][-1] == "screw/train/good/loop.png"
    with pytest.raises(UserError, match=r"loop\.png: Too many levels of symbolic links"):
        load_image(images / "loop.png", Geometry(resize="stretch", height=8, width=8))


def test_categories_are_folders_with_train_or_test(tmp_path: Path):
    make(tmp_path, "b/train/good/0.png", "a/test/x/0.png", "papers/one.png", "c.png")
    assert categories("mvtec", tmp_path) == ["a", "b"]


def test_a_missing_root_says_what_to_do(tmp_path: Path):
    message = refusal(tmp_path / "nowhere")
    for part in (str(tmp_path / "nowhere"), "train/good", "MVTec AD", "experiment=quickstart"):
        assert part in message


def test_a_root_that_is_a_file_is_refused(tmp_path: Path):
    assert "Not a directory" in refusal(make(tmp_path, "file") / "file")


def test_an_unknown_category_names_the_nearest_and_all_found(tmp_path: Path):
    make(tmp_path, "screw/train/good/0.png", "bottle/train/good/0.png")
    message = refusal(tmp_path, "screww")
    assert "'screww' not found" in message
    assert "did you mean 'screw'?" in message and "found: bottle, screw" in message
    assert "did you mean" not in refusal(tmp_path, "zzz")


@pytest.mark.parametrize("category", ["../other", ".", "", "screw/train", "/"])
def test_a_category_is_a_name_and_no_path(tmp_path: Path, category: str):
    make(tmp_path, "data/screw/train/good/0.png", "other/train/good/0.png")
    assert "not found" in refusal(tmp_path / "data", category)


def test_an_empty_root_and_the_folder_of_one_category_are_told_apart(tmp_path: Path):
    assert "looked for <category>/train/good" in refusal(tmp_path)
    make(tmp_path, "screw/train/good/0.png", "screw/test/good/0.png")
    assert f"set dataset.root to {tmp_path}" in refusal(tmp_path / "screw")


def test_a_category_without_training_or_without_test_images_is_refused(tmp_path: Path):
    make(tmp_path, "screw/train/gut/0.png", "screw/test/good/0.png", "nut/train/good/0.png")
    assert f"no training images; put normal images into {tmp_path}" in refusal(tmp_path)
    assert "'nut' has no test images" in refusal(tmp_path, "nut")


def test_two_images_that_claim_one_mask_are_refused(tmp_path: Path):
    make(tmp_path, "screw/train/good/0.png", "screw/test/bad/7.png", "screw/test/bad/7.jpg")
    assert len(read(tmp_path).test) == 2
    make(tmp_path, "screw/ground_truth/bad/7_mask.png")
    message = refusal(tmp_path)
    assert "7.jpg and 7.png of" in message and "claim one mask" in message


def test_two_masks_of_one_image_are_refused(tmp_path: Path):
    make(tmp_path, "screw/train/good/0.png", "screw/test/bad/7.png")
    make(tmp_path, "screw/ground_truth/bad/7_mask.png", "screw/ground_truth/bad/7_mask.bmp")
    assert "2 masks of one stem" in refusal(tmp_path)


def test_an_unknown_layout_names_the_known_ones(tmp_path: Path):
    with pytest.raises(UserError, match="unknown data layout 'mvtek'; known: auto, btad"):
        read_samples("mvtek", tmp_path, "screw")


names = st.text("abc0._", min_size=1, max_size=6).filter(lambda name: {*name} != {"."})
suffixes = st.sampled_from([".png", ".JPG", ".txt", "_mask.png", ""])
folders = st.sampled_from(["train/good", "test/good", "test/bad", "ground_truth/bad", "test", ""])


@settings(max_examples=60, deadline=None)
@given(files=st.sets(st.tuples(folders, names, suffixes), max_size=8))
def test_any_folder_gives_a_table_or_one_clear_line(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("fuzz")
    for folder, name, suffix in files:
        path = root / "c" / folder / (name + suffix)
        if path.parent.is_dir() or not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.touch()
    try:
        table = read(root, "c")
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert table.train and table.test
        masks = [mask for sample in table.samples for mask in sample.masks]
        assert len({*masks}) == len(masks)
        assert all(table.absolute(path).is_file() for path in masks)


@pytest.mark.slow
def test_150000_files_are_listed_in_seconds(tmp_path: Path):
    make(tmp_path, "c/test/good/0.png", "c/train/good/0.png")
    for number in range(150_000):
        (tmp_path / f"c/train/good/{number}.png").touch()
    start = time.perf_counter()
    assert len(read(tmp_path, "c").train) == 150_000
    assert time.perf_counter() - start < 10
