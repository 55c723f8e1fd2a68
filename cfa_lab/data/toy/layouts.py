"""The toy set in every folder layout that is read, as a user would have it after a download."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image

from cfa_lab.data import saturation
from cfa_lab.data.toy.render import DEFECTS, render
from cfa_lab.errors import UserError

SCENE = "gear"


@dataclass(frozen=True)
class Item:
    """One toy picture: `kind` is None for a normal one; `mask` (h, w) bool is exact."""

    split: str
    kind: str | None
    number: int
    pixels: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Pen:
    """Writes files below a root."""

    root: Path

    def image(self, path: str, pixels: np.ndarray) -> str:
        """Save an image (h, w[, 3]) uint8 in the format of its suffix; returns `path`."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(self.root / path)
        return path

    def mask(self, path: str, mask: np.ndarray, value: int = 255) -> str:
        """Save a mask (h, w) bool with `value` where it is true; returns `path`."""
        return self.image(path, mask.astype(np.uint8) * np.uint8(value))

    def text(self, path: str, text: str) -> None:
        """Save a text file."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, encoding="utf-8")

    def rows(self, path: str, rows: list[list[str]]) -> None:
        """Save a comma-separated file."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        with (self.root / path).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


def write_toy_layout(
    layout: str,
    root: Path,
    category: str,
    *,
    size: int = 64,
    num_train: int = 6,
    num_good: int = 3,
    num_defects: int = 2,
    seed: int = 0,
) -> None:
    """Write one category of toy images into the folder `root` in any layout of `LAYOUTS`.

    Each of the four kinds of defect gets `num_defects` images, `size` pixels square. A data set
    without categories of its own is written whole and takes no note of `category`. Equal arguments
    give equal bytes. Raises `UserError` for an unknown layout and a root that is not empty.
    """
    if layout not in WRITERS:
        raise UserError(f"toy images know no layout {layout!r}; known: {', '.join(WRITERS)}")
    if root.exists() and any(root.iterdir()):
        raise UserError(f"{root} is not empty; name a new folder for the toy images")
    counts = (num_train, num_good, num_defects)
    WRITERS[layout](Pen(root), category, list(_items(size, counts, seed)))


def _items(size: int, counts: tuple[int, int, int], seed: int) -> Iterator[Item]:
    num_train, num_good, num_defects = counts
    plan: list[tuple[str, str | None, int]] = [("train", None, i) for i in range(num_train)]
    plan += [("test", None, i) for i in range(num_good)]
    plan += [("test", kind, i) for kind in DEFECTS[SCENE] for i in range(num_defects)]
    for split, kind, number in plan:
        key = [seed, crc32(f"{SCENE}/{split}/{kind or 'good'}".encode()), number]
        picture = render(SCENE, size, key, kind)
        yield Item(split, kind, number, picture.pixels, picture.mask)


def _mvtec(pen: Pen, category: str, items: list[Item]) -> None:
    for item in items:
        kind = item.kind or "good"
        pen.image(f"{category}/{item.split}/{kind}/{item.number:03}.png", item.pixels)
        if item.kind:
            pen.mask(f"{category}/ground_truth/{kind}/{item.number:03}_mask.png", item.mask)


def _mpdd(pen: Pen, category: str, items: list[Item]) -> None:
    for item in items:
        kind = item.kind or "good"
        pen.image(f"{category}/{item.split}/{kind}/{item.number:03}.png", item.pixels)
        if item.kind:
            pen.mask(f"{category}/ground_truth/{kind}/{item.number:03}.png", item.mask)


def _mvtec_ad2(pen: Pen, category: str, items: list[Item]) -> None:
    for i, item in enumerate(items):
        name = f"{i:03}_{'regular' if i % 2 else 'overexposed'}"
        if item.split == "train":
            place = "validation" if item.number == 0 else "train"
            pen.image(f"{category}/{place}/good/{name}.png", item.pixels)
            continue
        place = f"{category}/test_public"
        pen.image(f"{place}/{'bad' if item.kind else 'good'}/{name}.png", item.pixels)
        if item.kind:
            pen.mask(f"{place}/ground_truth/bad/{name}_mask.png", item.mask)
    pen.image(f"{category}/test_private/000_regular.png", items[0].pixels)


def _mvtec_loco(pen: Pen, category: str, items: list[Item]) -> None:
    """Each mask is torn into two, as of two defects, with values of their own."""
    for i, item in enumerate(items):
        name = f"{i:03}"
        if item.kind is None:
            place = "validation" if item.split == "train" and item.number == 0 else item.split
            pen.image(f"{category}/{place}/good/{name}.png", item.pixels)
            continue
        kind = "structural_anomalies" if i % 2 else "logical_anomalies"
        pen.image(f"{category}/test/{kind}/{name}.png", item.pixels)
        upper = item.mask.copy()
        upper[np.flatnonzero(item.mask.any(axis=1))[0] + 1 :] = False
        for part, (mask, value) in enumerate(((upper, 255), (item.mask & ~upper, 254))):
            if mask.any():
                place = f"{category}/ground_truth/{kind}/{name}"
                pen.mask(f"{place}/{part:03}.png", mask, value)
    config = [
        {
            "defect_name": name,
            "pixel_value": value,
            "saturation_threshold": threshold,
            "relative_saturation": isinstance(threshold, float),
        }
        for name, value, threshold in (("edge", 255, 4), ("body", 254, 0.5))
    ]
    pen.text(f"{category}/{saturation.FILE}", json.dumps(config))


def _visa(pen: Pen, category: str, items: list[Item]) -> None:
    rows = [["object", "split", "label", "image", "mask"]]
    notes = [["image", "label", "mask"]]
    for i, item in enumerate(items):
        kind, label = ("Anomaly", "anomaly") if item.kind else ("Normal", "normal")
        image = pen.image(f"{category}/Data/Images/{kind}/{i:04}.JPG", item.pixels)
        mask = f"{category}/Data/Masks/Anomaly/{i:04}.png" if item.kind else ""
        if mask:
            pen.mask(mask, item.mask, value=1 + i % 3)
        rows.append([category, item.split, label, image, mask])
        notes.append([image, item.kind or "normal", mask])
    pen.rows("split_csv/1cls.csv", rows)
    pen.rows(f"{category}/image_anno.csv", notes)


def _btad(pen: Pen, category: str, items: list[Item]) -> None:
    """Masks are BMP files, as in the third category, and the archive's own folder is kept."""
    base = f"BTech_Dataset_transformed/{category}"
    for i, item in enumerate(items):
        kind = "ko" if item.kind else "ok"
        pen.image(f"{base}/{item.split}/{kind}/{i:04}.bmp", item.pixels)
        if item.kind:
            pen.mask(f"{base}/ground_truth/{kind}/{i:04}.bmp", item.mask)


def _kolektor(pen: Pen, category: str, items: list[Item]) -> None:
    """Items of four parts; every second item has one part with a defect."""
    normal = [item for item in items if item.kind is None]
    flawed = [item for item in items if item.kind]
    for number in range(max(2, len(normal) // 3)):
        parts = normal[3 * number : 3 * number + 3]
        parts += flawed[number : number + 1] if number % 2 == 0 else []
        for i, item in enumerate(parts):
            pen.image(f"kos{number + 1:02}/Part{i}.jpg", item.pixels)
            mask = item.mask if item.kind else np.zeros_like(item.mask)
            pen.mask(f"kos{number + 1:02}/Part{i}_label.bmp", mask)


def _kolektor2(pen: Pen, category: str, items: list[Item]) -> None:
    for i, item in enumerate(items):
        split = "train" if i == len(items) - 1 else item.split
        pen.image(f"{split}/{10000 + i}.png", item.pixels)
        mask = item.mask if item.kind else np.zeros_like(item.mask)
        pen.mask(f"{split}/{10000 + i}_GT.png", mask)


def _magnetic_tile(pen: Pen, category: str, items: list[Item]) -> None:
    """Two frames of each tile; masks of normal tiles are empty."""
    for i, item in enumerate(items):
        folder = f"MT_{item.kind.capitalize() if item.kind else 'Free'}/Imgs"
        name = f"exp{1 + i % 2}_num_{1000 + i // 2}"
        pen.image(f"{folder}/{name}.jpg", item.pixels[..., 1])
        mask = item.mask if item.kind else np.zeros_like(item.mask)
        pen.mask(f"{folder}/{name}.png", mask)


def _real_iad(pen: Pen, category: str, items: list[Item]) -> None:
    """Two views of each item; masks have soft edges, as scaling leaves them."""
    lists: dict[str, list[dict[str, str | None]]] = {"train": [], "test": []}
    for i, item in enumerate(items):
        where = f"NG/{item.kind}" if item.kind else "OK"
        stem = f"{where}/S{i // 2:04}/{category}_{i // 2:04}_{where.replace('/', '_')}_C{i % 2 + 1}"
        pen.image(f"realiad_256/{category}/{stem}.jpg", item.pixels)
        if item.kind:
            soft = np.where(item.mask, 255, 40).astype(np.uint8)
            pen.image(f"realiad_256/{category}/{stem}.png", soft)
        lists[item.split].append(
            {
                "category": category,
                "anomaly_class": item.kind or "OK",
                "image_path": f"{stem}.jpg",
                "mask_path": f"{stem}.png" if item.kind else None,
            }
        )
    content = {"meta": {"prefix": f"{category}/", "normal_class": "OK"}, **lists}
    pen.text(f"realiad_jsons/realiad_jsons/{category}.json", json.dumps(content))


def _folder(pen: Pen, category: str, items: list[Item]) -> None:
    for i, item in enumerate(items):
        pen.image(f"{category}/{item.kind or 'normal'}/part {i}.webp", item.pixels)
        if item.kind:
            pen.mask(f"{category}/masks/{item.kind}/part {i}.png", item.mask)


def _csv(pen: Pen, category: str, items: list[Item]) -> None:
    rows = [["path", "label", "mask", "defect", "group", "category"]]
    for i, item in enumerate(items):
        image = pen.image(f"photos/{i:03}.tif", item.pixels)
        mask = pen.mask(f"truth/{i:03}.png", item.mask) if item.kind else ""
        label = "defect" if item.kind else "normal"
        rows.append([image, label, mask, item.kind or "", f"tray{i // 2}", category])
    pen.rows("index.csv", rows)


WRITERS: dict[str, Callable[[Pen, str, list[Item]], None]] = {
    "mvtec": _mvtec,
    "mvtec_ad2": _mvtec_ad2,
    "mvtec_loco": _mvtec_loco,
    "mpdd": _mpdd,
    "visa": _visa,
    "btad": _btad,
    "kolektor": _kolektor,
    "kolektor2": _kolektor2,
    "magnetic_tile": _magnetic_tile,
    "real_iad": _real_iad,
    "folder": _folder,
    "csv": _csv,
}
