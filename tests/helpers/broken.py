"""Data sets broken in every way that people break them, and the words each must be met with."""

import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

EXIF_ORIENTATION = 0x0112
TRAIN = "toy/train/good/000.png"
NORMAL = "toy/test/good/000.png"
DEFECT = "toy/test/dent/000.png"
MASK = "toy/ground_truth/dent/000_mask.png"


@dataclass(frozen=True)
class Broken:
    """One kind of broken data set: its layout, the damage, and a part of the doctor's line.

    `run` says how a run meets it: `refused` before anything is made, `fails` with a record,
    `warns` as it goes on, `-` where a run cannot know or comes to no harm. `in_run` is a part of
    the run's line, where it is another than the doctor's.
    """

    name: str
    layout: str
    damage: Callable[[Path], object]
    line: str
    run: str
    in_run: str = ""

    def __str__(self) -> str:
        return self.name


def edit(path: str, old: str, new: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new, 1))

    return damage


def delete(*paths: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        for path in paths:
            whole = root / path
            shutil.rmtree(whole) if whole.is_dir() else whole.unlink()

    return damage


def put(path: str, pixels: np.ndarray, **options) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).unlink(missing_ok=True)
        Image.fromarray(pixels).save(root / path, **options)

    return damage


def redraw(path: str, change: Callable[[np.ndarray], np.ndarray], to: str = ""):
    def damage(root: Path) -> None:
        pixels = change(np.asarray(Image.open(root / path)))
        Image.fromarray(pixels).save(root / (to or path))

    return damage


def copy(old: str, new: str) -> Callable[[Path], object]:
    return lambda root: shutil.copy(root / old, root / new)


def write(path: str, content: bytes) -> Callable[[Path], object]:
    return lambda root: (root / path).write_bytes(content)


def cut(path: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        content = (root / path).read_bytes()
        (root / path).write_bytes(content[: len(content) // 2])

    return damage


def both(*damages: Callable[[Path], object]) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        for one in damages:
            one(root)

    return damage


def dangle(path: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        (root / path).unlink()
        (root / path).symlink_to(root / "gone.png")

    return damage


def animate(path: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        frames = [Image.new("RGB", (48, 48), colour) for colour in ("red", "green")]
        frames[0].putpixel((0, 0), (1, 2, 3))
        frames[0].save(root / path, format="PNG", save_all=True, append_images=frames[1:])

    return damage


def turn(path: str) -> Callable[[Path], object]:
    """Give an image an EXIF turn by 90 degrees that its mask does not have."""

    def damage(root: Path) -> None:
        image = Image.open(root / path).crop((0, 0, 48, 40))
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = 6
        image.save(root / path, exif=exif)
        mask = Image.open(root / MASK).crop((0, 0, 48, 40))
        mask.save(root / MASK)

    return damage


def misname(root: Path) -> None:
    path = os.fsencode(root / "toy/train/good") + b"/\xff.png"
    with open(path, "wb") as file:  # noqa: PTH123, a name that is no text
        file.write((root / TRAIN).read_bytes())


def jpeg_mask(root: Path) -> None:
    mask = Image.open(root / MASK)
    (root / MASK).unlink()
    buffer = io.BytesIO()
    mask.save(buffer, format="JPEG", quality=60)
    (root / MASK).with_suffix(".jpg").write_bytes(buffer.getvalue())


def entry(change: Callable[[dict], object], split: str = "test") -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        path = root / "realiad_jsons/realiad_jsons/toy.json"
        content = json.loads(path.read_text())
        change(content[split][-1])
        path.write_text(json.dumps(content))

    return damage


GREY = np.random.default_rng(0).integers(0, 255, (48, 48), dtype=np.uint8)
LIST = "realiad_jsons/realiad_jsons/toy.json"

BROKEN = [
    # what a layout refuses
    Broken("root_missing", "mvtec", lambda root: shutil.rmtree(root), "No such file", "refused"),
    Broken(
        "root_is_a_file",
        "mvtec",
        both(lambda root: shutil.rmtree(root), lambda root: root.write_text("x")),
        "Not a directory",
        "refused",
    ),
    Broken("root_empty", "mvtec", delete("toy"), "nor any other; looked for", "refused"),
    Broken(
        "root_is_a_category",
        "mvtec",
        lambda root: [path.rename(root / path.name) for path in [*(root / "toy").iterdir()]],
        "it is the folder of one category",
        "refused",
    ),
    Broken("no_training", "mvtec", delete("toy/train/good"), "no training images", "refused"),
    Broken("no_test", "mvtec", delete("toy/test"), "no test images", "refused"),
    Broken(
        "two_masks",
        "mvtec",
        copy(MASK, MASK.replace(".png", ".bmp")),
        "2 masks of one stem",
        "refused",
    ),
    Broken(
        "one_mask_for_two",
        "mvtec",
        put(DEFECT.replace(".png", ".bmp"), GREY),
        "claim one mask",
        "refused",
    ),
    Broken("name_is_no_text", "mvtec", misname, "is not valid UTF-8; rename", "refused"),
    Broken(
        "loco_read_as_mvtec",
        "mvtec",
        both(delete(MASK), put(MASK.replace("_mask.png", "/000.png"), GREY)),
        "use dataset=mvtec_loco",
        "refused",
    ),
    Broken("csv_missing", "csv", delete("index.csv"), "cannot read index", "refused"),
    Broken("csv_column", "csv", edit("index.csv", "label", "klass"), "no column label", "refused"),
    Broken("csv_label", "csv", edit("index.csv", ",normal,", ",fine,"), "'fine'", "refused"),
    Broken("csv_ragged", "csv", edit("index.csv", ",normal,", ",normal,,"), "line 2", "refused"),
    Broken("csv_twice", "csv", edit("index.csv", "001.tif", "000.tif"), "listed twice", "refused"),
    Broken(
        "csv_escape",
        "csv",
        edit("index.csv", "photos/000", "../../etc/000"),
        "leaves the data set's root",
        "refused",
    ),
    Broken("csv_absolute", "csv", edit("index.csv", "photos/000", "/000"), "leaves", "refused"),
    Broken("csv_bytes", "csv", write("index.csv", b"path,label\n\xff,0"), "not UTF-8", "refused"),
    Broken("csv_header_only", "csv", write("index.csv", b"path,label\n"), "no image", "refused"),
    Broken(
        "csv_all_normal",
        "csv",
        write("index.csv", b"path,label,split,category\nphotos/000.tif,0,train,toy\n"),
        "no image of",
        "refused",
    ),
    Broken(
        "csv_trains_on_defects",
        "csv",
        write("index.csv", b"path,label,split,category\nphotos/000.tif,1,train,toy\n"),
        "learns from normal images only",
        "refused",
    ),
    Broken("csv_file_gone", "csv", delete("photos/010.tif"), "010.tif: No such file", "refused"),
    Broken("json_damaged", "real_iad", cut(LIST), "is no JSON", "refused"),
    Broken("json_list", "real_iad", edit(LIST, '"test"', '"tset"'), "under 'test'", "refused"),
    Broken(
        "json_entry",
        "real_iad",
        entry(lambda found: found.pop("image_path")),
        "lacks 'image_path'",
        "refused",
    ),
    Broken(
        "json_escape",
        "real_iad",
        entry(lambda found: found.update(image_path="../../../../x.jpg")),
        "leaves the data set's root",
        "refused",
    ),
    Broken(
        "sizes_several",
        "real_iad",
        lambda root: shutil.copytree(root / "realiad_256", root / "realiad_512"),
        "several sizes, realiad_256, realiad_512",
        "refused",
    ),
    Broken("visa_list_gone", "visa", delete("split_csv"), "found: none", "refused"),
    Broken(
        "visa_leak",
        "visa",
        edit("split_csv/1cls.csv", "train,normal", "train,anomaly"),
        "puts the defect image",
        "refused",
    ),
    Broken(
        "visa_foreign_list",
        "visa",
        lambda root: (root / "split_csv/1cls.csv").write_text(
            (root / "split_csv/1cls.csv").read_text().replace("toy,", "other,")
        ),
        "names no usable train image",
        "refused",
    ),
    Broken("kolektor_label", "kolektor", delete("kos01/Part0_label.bmp"), "no mask", "refused"),
    Broken("kolektor2_label", "kolektor2", delete("train/10000_GT.png"), "no mask", "refused"),
    Broken("tiles_normal", "magnetic_tile", delete("MT_Free"), "no normal images", "refused"),
    # single files
    Broken("train_no_image", "mvtec", write(TRAIN, b"text"), "not an image", "fails"),
    Broken("train_truncated", "mvtec", cut(TRAIN), "000.png: ", "fails"),
    Broken("train_empty_file", "mvtec", write(TRAIN, b""), "not an image", "fails"),
    Broken("train_dangling", "mvtec", dangle(TRAIN), "No such file", "refused"),
    Broken("test_dangling", "mvtec", dangle(NORMAL), "No such file", "refused"),
    Broken("test_truncated", "mvtec", cut(DEFECT), "cannot read image", "fails"),
    Broken(
        "float_image",
        "mvtec",
        both(delete(TRAIN), put(TRAIN.replace("png", "tif"), GREY.astype(np.float32))),
        "floating point",
        "fails",
    ),
    Broken(
        "deep_image",
        "mvtec",
        both(delete(TRAIN), put(TRAIN.replace("png", "tif"), GREY.astype(np.int32) * 999999)),
        "exceed 16 bits",
        "fails",
    ),
    Broken(
        "floating_image",
        "mvtec",
        both(delete(TRAIN), put(TRAIN.replace("png", "tif"), GREY.astype(np.float32))),
        "image.range=[0,1]",
        "refused",
    ),
    Broken("mask_truncated", "mvtec", cut(MASK), "cannot read mask", "fails"),
    Broken("animation", "mvtec", animate(TRAIN), "several frames", "-"),
    Broken("constant", "mvtec", put(TRAIN, GREY * 0), "one colour all over", "-"),
    Broken(
        "masks_for_images",
        "mvtec",
        put("toy/test/Segmente/000.png", (GREY > 99) * np.uint8(255)),
        "1 images hold two values only, as masks do: toy/test/Segmente/000.png",
        "-",
    ),
    # masks that do not fit
    Broken(
        "masks_missing",
        "mvtec",
        delete(MASK),
        "1 of 8 defect images have no mask",
        "warns",
    ),
    Broken(
        "masks_unused",
        "mvtec",
        copy(MASK, "toy/ground_truth/dent/777_mask.png"),
        "1 masks belong to no image: toy/ground_truth/dent/777_mask.png",
        "warns",
    ),
    Broken(
        "masks_in_another_folder",
        "mvtec",
        lambda root: (root / "toy/ground_truth/dent").rename(root / "toy/ground_truth/dents"),
        "2 masks belong to no image: toy/ground_truth/dents",
        "warns",
    ),
    Broken("mask_jpeg", "mvtec", jpeg_mask, "masks are JPEG files", "warns"),
    Broken(
        "mask_size",
        "mvtec",
        put(MASK, GREY[:40]),
        "masks have another size",
        "fails",
        "masks must have the size of their image",
    ),
    Broken(
        "mask_turned",
        "mvtec",
        turn(DEFECT),
        "height and width of their image swapped",
        "fails",
        "EXIF data that turn it",
    ),
    Broken("mask_empty", "mvtec", put(MASK, GREY * 0), "an empty mask", "warns"),
    Broken("mask_inverted", "mvtec", redraw(MASK, lambda m: 255 - m), "inverted", "warns"),
    Broken("mask_graded", "mvtec", put(MASK, GREY), "have grey levels", "-"),
    # what belongs together and what does not
    Broken(
        "leak",
        "mvtec",
        copy(TRAIN, NORMAL),
        "stand in training and in the test set",
        "warns",
        "training images too",
    ),
    Broken(
        "leak_saved_anew",
        "mvtec",
        redraw(TRAIN, lambda image: image, "toy/test/good/900.bmp"),
        "stand in training and in the test set",
        "-",
    ),
    Broken("two_labels", "mvtec", copy(DEFECT, NORMAL), "normal and defect at once", "-"),
    Broken(
        "colours_tell_splits",
        "mvtec",
        lambda root: [
            Image.open(path).convert("L").save(path) for path in (root / "toy/train/good").iterdir()
        ],
        "training and test images have different colour modes",
        "-",
    ),
    Broken("no_normal_test", "mvtec", delete("toy/test/good"), "no normal image", "warns"),
    Broken(
        "no_defect_test",
        "mvtec",
        delete("toy/test/dent", "toy/test/rust", "toy/test/scratch", "toy/test/broken_tooth"),
        "no defect image",
        "warns",
    ),
]
