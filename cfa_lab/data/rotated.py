"""RD-MVTec AD: MVTec AD turned and cropped at random, once per image, written to disk.

Published figures on it drew anew at every access, and for image and mask apart. Here a draw depends
on a seed and the image's path alone, and image and mask share it. The images are files like any
others, so whatever reads them, by whatever way, sees the same ones.
"""

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from cfa_lab.data.decoded import read_values
from cfa_lab.data.layouts import read_samples
from cfa_lab.data.masks import load_mask
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.errors import UserError
from cfa_lab.files import draft_of
from cfa_lab.texts import read_json

MAX_DEGREES = 10.0
CROP_RATIO = 224 / 256
"""Side of the crop over the image's, as in the paper's way from 256 to 224 pixels."""

RECIPE = "rd_mvtec.json"
RECIPE_VERSION = 1


@dataclass(frozen=True)
class Draw:
    """One image's turn, counter-clockwise in degrees, and where its crop begins, both in 0..1."""

    degrees: float
    top: float
    left: float


def draw(path: str, seed: int) -> Draw:
    """The draw of an image, from the seed and its path below the data set's root."""
    key = int.from_bytes(sha256(path.encode("utf-8", "surrogateescape")).digest()[:8], "big")
    turn, top, left = np.random.default_rng([seed, key]).random(3)
    return Draw((2 * turn - 1) * MAX_DEGREES, float(top), float(left))


def turn(pixels: np.ndarray, drawn: Draw, resampling: Image.Resampling) -> np.ndarray:
    """Turn an image (H, W) or (H, W, 3) uint8 about its middle and crop it; corners are black."""
    height, width = pixels.shape[:2]
    crop_height, crop_width = (max(1, math.floor(n * CROP_RATIO)) for n in (height, width))
    top = round(drawn.top * (height - crop_height))
    left = round(drawn.left * (width - crop_width))
    turned = np.asarray(Image.fromarray(pixels).rotate(drawn.degrees, resampling))
    return turned[top : top + crop_height, left : left + crop_width]


def write_rotated(root: Path, made: Path, category: str, *, seed: int) -> Path:
    """Write one category of the data set at `root` (MVTec's layout) turned and cropped.

    Returns the root of the new set, a folder of `made` named by the seed. The category appears at
    once when it is complete; one that is there with the same recipe and the same source files is
    left alone. Raises `UserError` for what is wrong with the source and where something else
    stands in the way.
    """
    table = read_samples("mvtec", root, category)
    target = made / f"seed{seed}"
    recipe = {
        "version": RECIPE_VERSION,
        "seed": seed,
        "degrees": MAX_DEGREES,
        "crop_ratio": CROP_RATIO,
        "resampling": "bilinear; masks nearest",
        "source": {s.path: _num_bytes(table, s) for s in table.samples},
    }
    folder = target / category
    if _is_there(folder, recipe):
        return target
    try:
        with draft_of(folder) as draft:
            for sample in table.samples:
                _write(table, sample, draft, seed)
            (draft / RECIPE).write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
            with suppress(OSError):
                draft.rename(folder)
        if not _is_there(folder, recipe):  # another process may have been faster, with the same
            raise UserError(f"cannot move the finished images to {folder}; check its permissions")
    except OSError as error:
        raise UserError(f"cannot write turned images to {target}: {error.strerror}") from error
    return target


def _is_there(folder: Path, recipe: dict[str, object]) -> bool:
    if not folder.exists():
        return False
    try:
        found = read_json(folder / RECIPE)
    except (OSError, ValueError):
        found = None
    if found != recipe:
        raise UserError(
            f"{folder} was made from other images or by another recipe; delete it, or choose "
            "another dataset.made"
        )
    return True


def _num_bytes(table: SampleTable, sample: Sample) -> int:
    try:
        paths = (sample.path, *sample.masks)
        return sum(table.absolute(path).stat().st_size for path in paths)
    except OSError as error:
        raise UserError(
            f"cannot find {error.filename}: {error.strerror}; replace the file or take it out of "
            "the data set"
        ) from error


def _write(table: SampleTable, sample: Sample, draft: Path, seed: int) -> None:
    drawn = draw(sample.path, seed)
    pixels, more = read_values(path := table.absolute(sample.path))
    if more is not None:
        raise UserError(
            f"{path} has more than 8 bits; dataset=rd_mvtec turns images of 8 bits only"
        )
    _save(turn(pixels, drawn, Image.Resampling.BILINEAR), _inside(draft, sample.path, ""))
    if sample.masks:
        size = (pixels.shape[0], pixels.shape[1])
        mask = load_mask([table.absolute(path) for path in sample.masks], size)
        truth = turn(mask.astype(np.uint8) * 255, drawn, Image.Resampling.NEAREST)
        place = Path(sample.path.replace("/test/", "/ground_truth/", 1))
        _save(truth, _inside(draft, str(place), "_mask"))


def _inside(draft: Path, path: str, mark: str) -> Path:
    """Where an image goes: its path below the category, with another suffix."""
    below = Path(*Path(path).parts[1:])
    return draft / below.with_name(f"{below.name.rpartition('.')[0]}{mark}.png")


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)
