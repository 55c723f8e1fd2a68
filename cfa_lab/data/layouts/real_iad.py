"""The Real-IAD layout: lists in JSON, five views of each item, masks that were scaled down.

Scaling blurred the masks of the smaller sizes, so a mask's pixel is defect above 127.
"""

from pathlib import Path, PurePosixPath
from typing import Any

from cfa_lab.data.layouts.folders import readable_folder_names
from cfa_lab.data.layouts.layout import Layout, Listing, Options
from cfa_lab.data.layouts.tables import read_json
from cfa_lab.data.samples import GOOD, Sample
from cfa_lab.errors import UserError

LISTS = "realiad_jsons"
DEFAULT_LIST = "realiad_jsons"
NORMAL = "OK"
MASK_ABOVE = 127


def _lists(root: Path, options: Options) -> Path:
    return root / LISTS / (options.split or DEFAULT_LIST)


def _categories(root: Path, options: Options) -> list[str]:
    return sorted(file.stem for file in _lists(root, options).glob("[!.]*.json"))


def _listing(root: Path, category: str, options: Options) -> Listing:
    path = _lists(root, options) / f"{category}.json"
    content = read_json(path)
    place = _image_folder(root, category, options)
    samples = []
    for split in ("train", "test"):
        entries = content.get(split) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not entries:
            raise UserError(f"list {path} has no entries under {split!r}; get the file again")
        samples += [_sample(entry, place, split, path) for entry in entries]
    rule = f"the data set's own, {path.parent.name}"
    return Listing(samples=samples, split_rule=rule, mask_above=MASK_ABOVE)


def _image_folder(root: Path, category: str, options: Options) -> str:
    """The folder that an image's path is relative to, itself relative to the root."""
    if options.images is not None:
        if not (root / options.images / category).is_dir():
            raise UserError(
                f"dataset.images={options.images!r} holds no folder {category!r} under {root}; "
                f"found: {', '.join(readable_folder_names(root))}"
            )
        return f"{options.images}/{category}"
    names = readable_folder_names(root)
    sizes = [name for name in names if name != LISTS and (root / name / category).is_dir()]
    if len(sizes) == 1:
        return f"{sizes[0]}/{category}"
    if not sizes and (root / category).is_dir():
        return category
    found = f"several sizes, {', '.join(sizes)}" if sizes else f"no folder of {category!r}"
    raise UserError(f"{root} holds {found}; say which with dataset.images=realiad_256 or the like")


def _sample(entry: Any, place: str, split: str, path: Path) -> Sample:
    try:
        image, mask, kind = entry["image_path"], entry.get("mask_path"), entry["anomaly_class"]
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"list {path}: an entry of {split!r} lacks {error}; get it again"
        ) from error
    if not (isinstance(image, str) and isinstance(kind, str) and isinstance(mask, str | None)):
        raise UserError(f"list {path}: an entry of {split!r} has no text where paths belong")
    normal = kind == NORMAL
    return Sample(
        path=f"{place}/{image}",
        split=split,
        label=int(not normal),
        defect=GOOD if normal else kind,
        masks=(f"{place}/{mask}",) if mask and not normal else (),
        group=str(PurePosixPath(image).parent),
    )


REAL_IAD = Layout(
    categories=_categories,
    listing=_listing,
    matches=lambda root, options: (root / LISTS).is_dir(),
    structure=f"{LISTS}/{DEFAULT_LIST}/<category>.json and realiad_<size>/<category>/{{OK,NG}}",
    source="Real-IAD is given out by its authors on request",
)
