"""Writing the toy set to disk, in MVTec layout, all of it or nothing."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image

from cfa_lab.data.toy.render import DEFECTS, render
from cfa_lab.errors import UserError
from cfa_lab.files import draft_of
from cfa_lab.texts import read_json

TOY_CATEGORIES = tuple(sorted(DEFECTS))

# Raise it whenever the pixels of a seed change: a set written by another version is not reused.
TOY_VERSION = 1
MANIFEST = "toy.json"


def write_toy(
    root: Path,
    *,
    seed: int = 0,
    size: int = 192,
    categories: Mapping[str, str] | tuple[str, ...] = TOY_CATEGORIES,
    num_train: int = 24,
    num_good: int = 12,
    num_defects: int = 6,
) -> None:
    """Write the procedural toy set to the folder `root`, PNG images of `size` x `size` pixels.

    Each category gets `num_train` normal images for training, `num_good` for testing and
    `num_defects` images of each kind of defect, with masks. Equal arguments give equal bytes, and a
    picture depends on `seed`, `size`, its category, kind and number only. The set appears at once
    when it is complete; one that is there already with the same arguments is left alone, so
    processes may race. `categories` may also map names of one's own to what is drawn under them: a
    rehearsal for data that are not at hand. Raises `UserError` rather than touch a folder that
    holds anything else.
    """
    named = isinstance(categories, Mapping)
    scenes = dict(categories) if named else {category: category for category in categories}
    manifest = {
        "format": "cfa_lab toy set",
        "version": TOY_VERSION,
        "seed": seed,
        "size": size,
        "categories": scenes if named else list(scenes),
        "num_train": num_train,
        "num_good": num_good,
        "num_defects": num_defects,
    }
    _check(manifest, scenes.values())
    root = root.absolute()
    try:
        if _is_finished(root, manifest):
            return
        with draft_of(root) as draft:
            for category, scene in scenes.items():
                _write_category(draft / category, category, scene, manifest)
            text = json.dumps(manifest, indent=1) + "\n"
            (draft / MANIFEST).write_text(text, encoding="utf-8")
            _move(draft, root, manifest)
    except OSError as error:
        raise UserError(f"cannot write the toy set to {root}: {error.strerror}") from error


def _check(manifest: dict[str, Any], scenes: Collection[str]) -> None:
    unknown = sorted({*scenes} - {*TOY_CATEGORIES})
    if unknown or not scenes:
        raise UserError(
            f"toy categories {', '.join(unknown) or '(none)'} cannot be drawn; choose from "
            f"{', '.join(TOY_CATEGORIES)}"
        )
    for name, least in (
        ("seed", 0),
        ("size", 32),
        ("num_train", 1),
        ("num_good", 0),
        ("num_defects", 0),
    ):
        if manifest[name] < least:
            raise UserError(f"toy set: {name}={manifest[name]} is too small; give {least} or more")


def _is_finished(root: Path, manifest: dict[str, Any]) -> bool:
    """Whether `root` holds this very set; raises `UserError` where it holds something else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = read_json(root / MANIFEST)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{root} is there already and is no toy set; name a new folder for the toy set"
        ) from error
    if found != manifest:
        raise UserError(
            f"{root} holds a toy set of other parameters or of another version; delete it or name "
            "a new folder"
        )
    return True


def _move(draft: Path, root: Path, manifest: dict[str, Any]) -> None:
    with suppress(OSError):
        root.rmdir()  # goes away only if it is empty
    try:
        draft.rename(root)
    except OSError:
        # Another process may have been faster; its set is as good as ours.
        if not _is_finished(root, manifest):
            raise


def _write_category(folder: Path, category: str, scene: str, manifest: dict[str, Any]) -> None:
    for split, defect, number in _plan(scene, manifest):
        key = [manifest["seed"], crc32(f"{category}/{split}/{defect}".encode()), number]
        picture = render(scene, manifest["size"], key, None if defect == "good" else defect)
        _save(picture.pixels, folder / split / defect / f"{number:03d}.png")
        if defect != "good":
            mask = picture.mask.astype(np.uint8) * 255
            _save(mask, folder / "ground_truth" / defect / f"{number:03d}_mask.png")


def _plan(scene: str, manifest: dict[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Split, defect and number of each image of a category."""
    yield from (("train", "good", number) for number in range(manifest["num_train"]))
    yield from (("test", "good", number) for number in range(manifest["num_good"]))
    for defect in DEFECTS[scene]:
        yield from (("test", defect, number) for number in range(manifest["num_defects"]))


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)
