"""Trees of folders as people have them, each with the samples and the rest that it must give."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cfa_lab.data import Options, SampleTable, categories, read_samples
from cfa_lab.data.doubts import doubts_by_name, notes_by_name
from cfa_lab.data.layouts import locate
from cfa_lab.errors import UserError

SUFFIXES = ["png", "PPM", "pgm", "jp2", "gif", "tif", "jfif", "pbm"]


def make(root: Path, files: Iterable[str]) -> Path:
    """Create empty files: a layout that opened one would fail."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


@dataclass
class Case:
    """Paths are relative to the category `part`; defects and masks follow the images' paths."""

    name: str
    train: list[str]
    normal: list[str]
    defects: dict[str, tuple[str, list[str]]]
    rest: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str, int]] = field(default_factory=list)
    layout: str = "mvtec"
    options: Options = field(default_factory=Options)
    normal_masks: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.name

    @property
    def files(self) -> list[str]:
        masks = [mask for _, found in self.defects.values() for mask in found]
        own = [*self.train, *self.normal, *self.defects, *masks]
        return [*own, *self.rest, *self.normal_masks, *self.unused]


def words(good: str, bad: str) -> Case:
    return Case(
        f"train/{good}, test/{bad}",
        [f"train/{good}/0.png"],
        [f"test/{good}/0.png"],
        {f"test/{bad}/0.png": (bad, [f"ground_truth/{bad}/0_mask.png"])},
    )


PAIRS = [
    *[("OK", "NG"), ("ok", "nok"), ("Ok", "ko"), ("normal", "abnormal"), ("NORMAL", "ABNORMAL")],
    *[("Normal", "anomaly"), ("good", "bad"), ("GOOD", "BAD"), ("Good", "broken_small")],
    *[("pass", "fail"), ("PASS", "FAIL"), ("Pass", "Fail"), ("free", "blowhole")],
]


def masks_in(folder: str, mask: str = "dent/0_mask.png") -> Case:
    return Case(
        f"masks {folder}/{mask}",
        ["train/good/0.png"],
        [],
        {"test/dent/0.png": ("dent", [f"{folder}/{mask}"])},
    )


MASKS = ["masks", "mask", "gt", "label", "labels", "Masks", "GT", "Ground_Truth", "groundtruth"]
FORMS = ["dent/0.gif", "dent/0_gt.png", "dent/0_label.bmp", "Dent/0_MASK.PNG", "0_mask.png"]

DATED = Case(
    "dated sub-folders",
    ["train/good/2024-05-17/0.png", "train/good/2024-05-18/a/0.png", "train/good/0.png"],
    ["test/good/2024-05-19/0.png"],
    {
        "test/dent/2024-05-19/0.png": ("dent", ["ground_truth/dent/2024-05-19/0_mask.png"]),
        "test/dent/2024-05-20/1.png": ("dent", ["ground_truth/dent/1_mask.png"]),
    },
)
SYSTEM = Case(
    "hidden and system files",
    ["train/good/0.png"],
    ["test/good/0.png"],
    {},
    rest=[
        *("train/good/Thumbs.db", "train/good/.DS_Store", "train/good/._0.png"),
        *("test/good/desktop.ini", "test/@eaDir/0.png", "__MACOSX/0.png", "test/.x/0.png"),
        *("train/good/@eaDir/0.png/SYNOPHOTO_THUMB_S.jpg", "license.txt", "lost+found/0.png"),
    ],
)
LEFT_OUT = Case(
    "files that are left out",
    ["train/good/0.png"],
    ["test/good/0.png"],
    {"test/dent/0.png": ("dent", ["ground_truth/dent/0.png"])},
    rest=[
        *("train/good/0.heic", "train/good/1.HEIC", "train/good/x", "train/good/bad/7.png"),
        *("train/0.png", "more/a/0.jpg", "more/a/1.jpg", "more/notes.txt"),
        *("ground_truth/dent/0.npy", "test/dent/masks/0.png"),
    ],
    left_out=[
        ("part/ground_truth/dent", ".npy", 1),
        ("part/more/a", ".jpg", 2),
        ("part/test/dent/masks", ".png", 1),
        ("part/train", ".png", 1),
        ("part/train/good", "", 1),
        ("part/train/good", ".heic", 2),
        ("part/train/good/bad", ".png", 1),
    ],
)
KINDS = Case(
    "kinds below NG",
    ["train/OK/0.png"],
    [],
    {
        "test/NG/crack/0.png": ("NG/crack", ["ground_truth/crack/0_mask.png"]),
        "test/NG/dent/0.png": ("NG/dent", ["ground_truth/NG/dent/0.png"]),
    },
)
LOTS = Case("lots below NG", ["train/OK/0.png"], [], {"test/NG/17/0.png": ("NG", [])})
SPLITS = Case(
    "letter case of splits",
    ["Train/Good/0.png"],
    ["TEST/good/0.png"],
    {"TEST/dent/0.png": ("dent", ["GROUND_TRUTH/dent/0_mask.png"])},
)
NORMAL_MASKS = Case(
    "masks of normal images",
    ["train/good/0.png"],
    ["test/good/0.png"],
    {"test/dent/0.png": ("dent", ["ground_truth/dent/0_mask.png"])},
    normal_masks=["ground_truth/good/0_mask.png"],
    unused=["ground_truth/good/1_mask.png"],
)
OWN_NAME = Case(
    "the tree's own name goes before others",
    ["train/good/0.png"],
    ["test/good/0.png"],
    {"test/ok/0.png": ("ok", [])},
    rest=["train/ok/0.png"],
    left_out=[("part/train/ok", ".png", 1)],
)


def lying(name: str, masks: list[str], *kinds: str, **more) -> Case:
    """Two defect images of each kind with masks where `masks` says: `{}` is the kind."""
    found = {
        f"test/{kind}/{i}.png": (kind, [mask.format(kind, i) for mask in masks])
        for kind in kinds or ("bad", "dent")
        for i in (0, 1)
    }
    return Case(f"masks {name}", ["train/good/0.png"], ["test/good/0.png"], found, **more)


AMONG = [
    lying("beside their images", ["test/{}/{}_mask.png"]),
    lying("beside, marked otherwise", ["test/{}/mask-{}.bmp"]),
    lying("in a folder beside each kind's", ["test/{}_mask/{}.png"]),
    lying("in a folder inside each kind's", ["test/{}/masks/{}.png"]),
    lying("among the kinds", ["test/ground_truth/{}/{}_mask.png"]),
    lying("by split", ["masks/test/{}/{}.png"]),
    lying("of all kinds in one", ["segmentation/{1}.png"], "bad"),
    lying("of a folder around the kinds", ["gt/NG/{1}.png"], "NG/crack"),
    lying("in Ground Truth", ["Ground Truth/{}/{}.png"]),
    lying("in gt-images", ["gt-images/{}/{}.png"]),
    lying("called 0-mask", ["ground_truth/{}/{}-mask.png"]),
    lying("called mask_0", ["ground_truth/{}/mask_{}.png"]),
    lying("called 0_seg", ["ground_truth/{}/{}_seg.png"]),
    lying("called 0.png.png", ["ground_truth/{}/{}.png.png"]),
    lying("called 0.jpg_gt", ["ground_truth/{}/{}.jpg_gt.png"]),
    lying(
        "beside normal images, too",
        ["test/{}/{}_mask.png"],
        normal_masks=["test/good/0_mask.png"],
        rest=["train/good/0_mask.png"],
        left_out=[("part/train/good", ".png", 1)],
    ),
    Case(
        "images and masks in folders of a kind",
        ["train/good/images/0.png"],
        [],
        {"test/bad/images/0.png": ("bad", ["test/bad/masks/0.png"])},
        rest=["train/good/masks/0.png"],
        left_out=[("part/train/good/masks", ".png", 1)],
    ),
    Case(
        "a kind called label",
        ["train/good/0.png"],
        [],
        {"test/label/0.png": ("label", ["ground_truth/label/0.png"])},
    ),
]
NAMES = [
    words("0_good", "1_bad"),
    words("good_images", "not_good"),
    words("Defect-Free", "Defective"),
    Case("test/0_good", ["train/good/0.png"], ["test/0_good/0.png"], {"test/1/0.png": ("1", [])}),
    Case(
        "training, testing",
        ["Training/OK/0.png"],
        ["testing/OK/0.png"],
        {"testing/NG/0.png": ("NG", [])},
    ),
    Case(
        "images in train itself",
        ["train/0.png", "train/1.png"],
        ["test/OK/0.png"],
        {"test/NG/0.png": ("NG", [])},
        rest=["train/0_mask.png", "train/NG/7.png"],
        left_out=[("part/train", ".png", 1), ("part/train/NG", ".png", 1)],
    ),
    Case(
        "kinds below not_good",
        ["train/good/0.png"],
        [],
        {"test/not_good/crack/0.png": ("not_good/crack", [])},
    ),
]
TREES = [
    *AMONG,
    *NAMES,
    *[words(*pair) for pair in PAIRS],
    *[masks_in(name) for name in MASKS],
    *[masks_in("ground_truth", form) for form in FORMS],
    *[DATED, SYSTEM, LEFT_OUT, KINDS, LOTS, SPLITS, NORMAL_MASKS, OWN_NAME],
]

NAMED = Options(normal_test=("good_test",))
FOLDERS = [
    Case(
        f"folder {good}, {bad}",
        [f"{good}/0.png", f"{good}/lot1/1.png"],
        ["good_test/0.png"],
        {f"{bad}/0.png": (bad, [f"{masks}/{bad}/0.png"])},
        layout="folder",
        options=NAMED,
    )
    for good, bad, masks in (
        *[("good", "bad", "masks"), ("OK", "NG", "mask"), ("Normal", "abnormal", "GT")],
        *[("pass", "fail", "ground_truth"), ("PASS", "dent", "labels")],
    )
]
FOLDERS += [
    Case(
        f"folder with {name}",
        ["ok/0.png"],
        ["good_test/0.png"],
        {f"{kind}/0.png": (kind, [mask.format(kind)]) for kind in ("ng", "dent")},
        layout="folder",
        options=Options(normal=("ok",), normal_test=("good_test",)),
    )
    for name, mask in {
        "masks beside": "{}/0_mask.png",
        "folders of masks beside": "{}_mask/0.png",
        "folders of masks inside": "{}/masks/0.png",
        "annotations": "annotations/{}/0.png",
        "mask_images": "mask_images/{}/0.png",
    }.items()
]
FOLDERS += [
    Case(
        "split below the kinds",
        ["good/train/0.png"],
        ["good/test/0.png"],
        {"bad/test/0.png": ("bad", []), "bad/train/0.png": ("bad", [])},
        layout="folder",
    ),
    Case(
        "0_good, 1_bad",
        ["0_good/0.png"],
        ["good_test/0.png"],
        {"1_bad/0.png": ("1_bad", [])},
        layout="folder",
        options=NAMED,
    ),
]
BELOW = {
    "NG/colour/00.png": ("NG/colour", ["mask/colour/00.png"]),
    "NG/crack/00.png": ("NG/crack", ["mask/crack/00.png"]),
}
FOLDERS += [
    Case("kinds found", ["good/0.png"], ["good_test/0.png"], BELOW, [], [], "folder", NAMED),
    Case(
        "kinds named",
        ["good/0.png"],
        ["good_test/0.png"],
        BELOW,
        ["NG/other/0.png"],
        [("part/NG/other", ".png", 1)],
        "folder",
        Options(normal_test=("good_test",), defects=("NG/colour", "NG/crack"), masks="mask"),
    ),
    Case(
        "normal test images inside",
        ["good/0.png"],
        ["good/2024/0.png"],
        {"NG/2024/0.png": ("NG", ["masks/NG/2024/0.png"])},
        layout="folder",
        options=Options(normal=("good",), normal_test=("good/2024",)),
    ),
]


def read(case: Case, root: Path, layout: str = "") -> SampleTable:
    make(root, [f"part/{file}" for file in case.files])
    return read_samples(layout or case.layout, root, "part", case.options)


def check(case: Case, table: SampleTable) -> None:
    def below(paths: Iterable[str]) -> list[str]:
        return sorted(f"part/{path}" for path in paths)

    assert [s.path for s in table.train] == below(case.train)
    assert [s.path for s in table.test if not s.label] == below(case.normal)
    found = {s.path: (s.defect, list(s.masks)) for s in table.test if s.label}
    assert found == {
        f"part/{path}": (kind, below(masks)) for path, (kind, masks) in case.defects.items()
    }
    assert [*table.normal_masks] == below(case.normal_masks)
    assert [*table.unused_masks] == below(case.unused)
    assert [(o.folder, o.suffix, o.num_files) for o in table.left_out] == case.left_out


def test_there_are_forty_trees():
    names = {case.name for case in (*TREES, *FOLDERS)}
    assert len(names) == len(TREES) + len(FOLDERS) >= 40


@pytest.mark.parametrize("case", [*TREES, *FOLDERS], ids=str)
def test_a_tree_gives_its_samples(case: Case, tmp_path: Path):
    check(case, read(case, tmp_path))


@pytest.mark.parametrize("case", [case for case in TREES if case is not OWN_NAME], ids=str)
def test_auto_takes_no_split_for_a_category(case: Case, tmp_path: Path):
    check(case, read(case, tmp_path, "auto"))
    assert categories("auto", tmp_path) == ["part"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_images_and_masks_of_every_suffix_count(suffix: str, tmp_path: Path):
    case = Case(
        suffix,
        [f"train/good/0.{suffix}"],
        [],
        {f"test/dent/0.{suffix}": ("dent", [f"ground_truth/dent/0_mask.{suffix}"])},
    )
    check(case, read(case, tmp_path))


def test_masks_for_all_categories_in_one_folder_are_found(tmp_path: Path):
    kinds = [f"{place}/bad/{i}.png" for place in ("a", "b", "masks/a", "masks/b") for i in (0, 1)]
    make(tmp_path, [*kinds, *[f"{part}/good/{i}.png" for part in "ab" for i in range(4)]])
    for part in "ab":
        table = read_samples("auto", tmp_path, part)
        found = {s.path: s.masks for s in table.test if s.label}
        assert found == {f"{part}/bad/{i}.png": (f"masks/{part}/bad/{i}.png",) for i in (0, 1)}


def test_a_second_folder_of_normal_images_is_no_kind_of_defect_without_a_word(tmp_path: Path):
    make(tmp_path, ["part/train/good/0.png", "part/test/good/0.png", "part/test/ok/0.png"])
    (line,) = doubts_by_name(read_samples("mvtec", tmp_path, "part"))
    assert line.startswith("the images of 'ok' count as defects")


def test_splits_without_a_folder_of_normal_images_are_no_categories(tmp_path: Path):
    make(tmp_path, ["part/train/OK/0.png", "part/probe/NG/0.png"])
    with pytest.raises(UserError, match="no layout that is known"):
        locate("auto", tmp_path)


def test_splits_are_no_categories_of_the_layout_folder_either(tmp_path: Path):
    make(
        tmp_path, [f"{place}/{i}.png" for place in ("train/OK", "test/OK", "test/NG") for i in "01"]
    )
    assert categories("folder", tmp_path) == []
    with pytest.raises(UserError, match=r"it is the folder of one category; set dataset\.root to"):
        read_samples("folder", tmp_path, tmp_path.name)
    assert categories("folder", tmp_path, Options(normal=("OK",))) == ["test", "train"]


def test_no_masks_at_all_are_told_with_where_they_were_looked_for(tmp_path: Path):
    make(tmp_path, ["part/train/good/0.png", "part/test/dent/0.png", "part/Segmente/dent/0.png"])
    table = read_samples("mvtec", tmp_path, "part")
    first, second = notes_by_name(table)
    assert "no defect image has a mask" in first
    assert "part/ground_truth (or a folder beside it called groundtruth, masks, mask" in first
    assert "1 files are left out: 1 .png in part/Segmente/dent" in second
    assert doubts_by_name(table) == [
        "the test set has no normal image, so that AUROC is undefined; add some to it"
    ]


def test_a_mask_that_two_kinds_could_mean_is_refused(tmp_path: Path):
    files = ["good/0.png", "good/1.png", "dent/0.png", "scratch/0.png", "masks/0.png"]
    make(tmp_path, [f"part/{file}" for file in files])
    with pytest.raises(UserError, match=r"claim one mask, .*masks/0\.png"):
        read_samples("folder", tmp_path, "part")


def test_a_link_to_a_folder_around_it_is_followed_once(tmp_path: Path):
    make(tmp_path, ["part/train/good/a/0.png", "part/test/good/0.png"])
    (tmp_path / "part/train/good/a/again").symlink_to(tmp_path / "part/train")
    assert [s.path for s in read_samples("mvtec", tmp_path, "part").train] == [
        "part/train/good/a/0.png"
    ]


@pytest.mark.parametrize("layout", ["mvtec", "folder", "auto"])
def test_a_folder_that_may_not_be_listed_stops_nobody_else(
    layout: str, tmp_path: Path, monkeypatch, caplog
):
    files = {
        "folder": ["part/good/0.png", "part/good/1.png", "part/bad/0.png", "theirs/good/0.png"]
    }
    usual = ["part/train/good/0.png", "part/test/bad/0.png", "theirs/train/good/0.png"]
    make(tmp_path, files.get(layout, usual))
    scandir = os.scandir

    def refusing(path):
        if Path(path).name == "theirs":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert categories(layout, tmp_path) == ["part"]
    assert read_samples(layout, tmp_path, "part").train
    assert f"folder {tmp_path / 'theirs'} is left out: Permission denied" in caplog.messages
    with pytest.raises(UserError, match=r"cannot list folder .*theirs: Permission denied"):
        read_samples(layout, tmp_path, "theirs")
