"""The two real categories of docs/results.md, made from their original downloads.

    python experiments/real_sets.py cookies amazon-lookout-for-vision-main.zip
    python experiments/real_sets.py magnetic_tile Magnetic-tile-defect-datasets.-master.zip

A download is the repository's archive as GitHub hands it out, or the folder that it unpacks to:

cookies        github.com/aws-samples/amazon-lookout-for-vision, CC BY-SA 4.0: photographs
               brought to 512 pixels on the shorter side, masks to 0 and 255
magnetic_tile  github.com/abin24/Magnetic-tile-defect-datasets., no licence stated, its authors
               welcome its use and ask to be cited: photographs as they are, masks to 0 and 255

Nothing is downloaded. Every file is compared with `real_sets.csv`: its name, what a photograph
looks like, and how many pixels of a mask are defect. The set appears whole or not at all.
"""

import argparse
import csv
import hashlib
import os
import shutil
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import numpy as np
from PIL import Image, ImageOps

from cfa_lab.data.opening import reading
from cfa_lab.doctor.archives import unpack
from cfa_lab.doctor.perceptual_hash import perceptual_hash
from cfa_lab.errors import UserError
from cfa_lab.files import user_path

LIST = Path(__file__).with_suffix(".csv")
SETS = ("cookies", "magnetic_tile")
SHORTER_SIDE, QUALITY = 512, 90
ALIKE = 0.9
"""Least share of a perceptual hash's signs that agree between two codings of one photograph."""
AREA_OFF = 0.05
"""Share by which a mask's area may differ: its pixels were thinned out otherwise."""


@dataclass(frozen=True)
class Listed:
    """A file of a set: where it lies below the root, and what tells it."""

    path: str
    sha256: str
    looks: str
    """The signs of a photograph's perceptual hash in hexadecimal digits; a mask has none."""
    defect_pixels: int
    """Of a mask; 0 for a photograph."""

    @property
    def category(self) -> str:
        return self.path.partition("/")[0]


def read_list(path: Path = LIST) -> list[Listed]:
    """The files of both sets."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [Listed(**{**row, "defect_pixels": int(row["defect_pixels"])}) for row in rows]


def write_list(root: Path, path: Path = LIST) -> None:
    """List the sets that lie below `root`, for whoever changes how they are made."""
    files = sorted(file for name in SETS for file in (root / name).rglob("*.*"))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Listed))
        for name in files:
            writer.writerow(astuple(told(name, name.relative_to(root).as_posix())))


def told(file: Path, path: str) -> Listed:
    """What a file of a set is told by."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    with reading("image", file), Image.open(file) as image:
        values = np.asarray(image)
    if "/ground_truth/" in path:
        return Listed(path, digest, "", int((values > 0).sum()))
    return Listed(path, digest, np.packbits(perceptual_hash(values) > 0).tobytes().hex(), 0)


def make(name: str, download: Path, root: Path, listed: list[Listed]) -> str:
    """Make a set below `root` and say what came out; raises UserError where it is not the one."""
    target = root / name
    if target.exists():
        raise UserError(f"{target} is there already; name another root with --to")
    if not download.exists():
        raise UserError(
            f"{download} is not there; give the archive that was downloaded, or its folder"
        )
    wanted = [item for item in listed if item.category == name]
    root.mkdir(parents=True, exist_ok=True)
    draft = root / f".{name}.{uuid4().hex}"
    try:
        with folder_of(download, root) as folder:
            found = files_of(folder)
            for item in wanted:
                source = original(item.path, found, download)
                copy = draft / Path(item.path).relative_to(name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                bring(source, copy, name)
        made = [told(draft / Path(item.path).relative_to(name), item.path) for item in wanted]
        others = [item.path for item, own in zip(wanted, made, strict=True) if not alike(item, own)]
        if others:
            raise UserError(
                f"{len(others)} of {len(wanted)} files are not those that were studied, "
                f"{others[0]} among them; is {download} what `{Path(__file__).name} --help` names?"
            )
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    same = sum(item.sha256 == own.sha256 for item, own in zip(wanted, made, strict=True))
    counts = Counter(item.path.rpartition("/")[0] for item in wanted)
    lines = [f"{count:>5}  {root / folder}" for folder, count in sorted(counts.items())]
    rest = f"; the other {len(wanted) - same} look like them" if same < len(wanted) else ""
    return "\n".join([*lines, f"{same} of {len(wanted)} files byte for byte as studied{rest}"])


@contextmanager
def folder_of(download: Path, beside: Path) -> Generator[Path]:
    """The folder of a download: itself, or what its archive holds, unpacked for a while."""
    if download.is_dir():
        yield download
        return
    with TemporaryDirectory(dir=beside, prefix=".download-") as made:
        unpack(download, Path(made) / "unpacked")
        yield Path(made) / "unpacked"


def files_of(folder: Path) -> dict[str, list[Path]]:
    """All files below a folder, by their name."""
    found: dict[str, list[Path]] = {}
    for parent, _, names in sorted(os.walk(folder)):
        for name in names:
            found.setdefault(name, []).append(Path(parent) / name)
    return found


def original(path: str, found: dict[str, list[Path]], download: Path) -> Path:
    """The file of a download that a file of a set is made of; raises UserError where it is not."""
    end = original_name(path)
    fitting = [file for file in found.get(end[-1], []) if file.parts[-len(end) :] == end]
    if not fitting:
        raise UserError(
            f"{download} holds no {'/'.join(end)}; give the whole download that "
            f"`{Path(__file__).name} --help` names"
        )
    if len({file.read_bytes() for file in fitting}) > 1:
        raise UserError(f"{download} holds {'/'.join(end)} more than once, and not alike")
    return fitting[0]


def original_name(path: str) -> tuple[str, ...]:
    """The last parts of a file's path in the download."""
    category, split, kind, name = path.split("/")
    if category == "cookies":
        if split == "ground_truth":
            return "mask-images", name.replace("_mask.png", ".png")
        return "test-images" if (split, kind) == ("test", "good") else "training-images", name
    name = name.replace("_mask.png", ".png")
    return "MT_Free" if kind == "good" else f"MT_{kind.capitalize()}", "Imgs", name


def bring(source: Path, copy: Path, name: str) -> None:
    """Write a photograph or a mask as the studies used it."""
    with reading("image", source), Image.open(source) as image:
        if copy.suffix == ".png":
            as_mask(image, bring_to_size=name == "cookies").save(copy)
        elif name == "cookies" and min(image.size) != SHORTER_SIDE:
            photo = ImageOps.exif_transpose(image).convert("RGB")
            photo.resize(size_of(photo), Image.Resampling.LANCZOS).save(copy, quality=QUALITY)
        else:
            shutil.copy(source, copy)


def size_of(image: Image.Image) -> tuple[int, int]:
    """Width and height with the shorter side brought to `SHORTER_SIDE`."""
    factor = SHORTER_SIDE / min(image.size)
    return round(image.width * factor), round(image.height * factor)


def as_mask(image: Image.Image, *, bring_to_size: bool) -> Image.Image:
    """A mask of 0 and 255: what has not the colour that most of the border has is defect."""
    if bring_to_size:
        image = ImageOps.exif_transpose(image).convert("RGB")
        image = image.resize(size_of(image), Image.Resampling.NEAREST)
    values = np.asarray(image.convert("RGB")).astype(np.int16)
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    colours, counts = np.unique(border, axis=0, return_counts=True)
    away = np.abs(values - colours[counts.argmax()]).max(axis=2)
    return Image.fromarray(np.where(away > 127, 255, 0).astype(np.uint8))


def alike(item: Listed, own: Listed) -> bool:
    """Whether a file is the listed one in another coding."""
    if item.sha256 == own.sha256:
        return True
    if not item.looks:
        return abs(item.defect_pixels - own.defect_pixels) <= AREA_OFF * item.defect_pixels + 20
    signs = [np.unpackbits(np.frombuffer(bytes.fromhex(x.looks), np.uint8)) for x in (item, own)]
    return float((signs[0] == signs[1]).mean()) >= ALIKE


def main(arguments: list[str] | None = None, listed: Path = LIST) -> None:
    """Make a set; what the user got wrong is one line and exit code 1."""
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", choices=SETS)
    parser.add_argument("download", type=user_path, help="the archive, or what it unpacks to")
    default = Path(os.environ.get("CFA_LAB_DATA", "data")) / "mvtec"
    parser.add_argument(
        "--to", type=user_path, default=default, help=f"root of the categories; default: {default}"
    )
    options = parser.parse_args(arguments)
    try:
        print(make(options.set, options.download, options.to, read_list(listed)))
    except UserError as error:
        sys.exit(f"real_sets: {error}")
    except OSError as error:
        sys.exit(f"real_sets: {error.filename}: {error.strerror}; choose another --to")
    print(f"next: python -m cfa_lab doctor dataset.root={options.to} category={options.set}")


if __name__ == "__main__":
    main()
