"""The layout `folder`: any folders of normal images, optional folders of defects and of masks.

Folders named by the keys are relative to the category's; a category is a folder that holds the
first of the normal ones, or the root itself. Images may lie in sub-folders.
"""

from pathlib import Path

from cfa_lab.data.layouts.folders import (
    folder_names,
    has_images,
    images_below,
    readable_folder_names,
)
from cfa_lab.data.layouts.layout import Layout, Listing, Options
from cfa_lab.data.layouts.left_out import count_left_out
from cfa_lab.data.layouts.masks import Masks, find_mask_folder, where_looked
from cfa_lab.data.layouts.splits import draw_test, drawn_rule
from cfa_lab.data.layouts.tree import NOT_DEFECT, NOT_NORMAL, kinds_below
from cfa_lab.data.layouts.words import MASKS, NORMAL
from cfa_lab.data.samples import GOOD, Sample
from cfa_lab.errors import UserError

SPLITS = {"train", "test", "validation", "val"}
"""Folders of a category's parts in other layouts."""


def _normal(folder: Path, options: Options) -> tuple[str, ...]:
    if options.normal is not None:
        return options.normal
    return tuple(
        name
        for name in folder_names(folder)
        if name.lower() in NORMAL and has_images(folder / name, NOT_NORMAL)
    )


def _is_category(folder: Path, options: Options) -> bool:
    normal = _normal(folder, options)
    return bool(normal) and (folder / normal[0]).is_dir()


def _categories(root: Path, options: Options) -> list[str]:
    if _is_category(root, options):
        return [root.name]
    names = readable_folder_names(root)
    return [name for name in names if _is_category(root / name, options)]


def _matches(root: Path, options: Options) -> bool:
    """Not where splits would be taken for categories: that is another layout, if any."""
    return not {name.lower() for name in _categories(root, options)} <= SPLITS


def _listing(root: Path, category: str, options: Options) -> Listing:
    whole = _is_category(root, options)
    folder = root if whole else root / category
    prefix = "" if whole else f"{category}/"
    places = _normal(folder, options)
    for place in (*places, *options.normal_test, *(options.defects or ())):
        if not images_below(folder / place):
            raise UserError(
                f"folder {folder / place} holds no images; name folders of images in "
                "dataset.normal, dataset.normal_test and dataset.defects"
            )
    masks_in = _mask_folder(folder, options)
    masks = Masks(folder / masks_in) if masks_in else None
    named = {*places, *options.normal_test, *(options.defects or ()), masks_in or ""}
    images = [
        f"{prefix}{place}/{name}"
        for place in places
        for name in _images(folder, place, named, NOT_NORMAL)
    ]
    drawn: set[str] = set()
    rule = "the folders named in dataset.normal_test"
    if not options.normal_test:
        alone = {image: image for image in images}
        drawn = draw_test(alone, fraction=options.test_fraction, seed=options.seed)
        rule = drawn_rule(options.test_fraction, options.seed)
    samples = [
        Sample(path=path, split="test" if path in drawn else "train", label=0, defect=GOOD)
        for path in images
    ]
    samples += [
        Sample(path=f"{prefix}{place}/{name}", split="test", label=0, defect=GOOD)
        for place in options.normal_test
        for name in _images(folder, place, named, NOT_NORMAL)
    ]
    defects = options.defects
    if defects is None:
        known = {place.partition("/")[0] for place in named}
        others = [name for name in folder_names(folder) if name not in known]
        defects = tuple(kind for name in others for kind in kinds_below(folder, name))
    for place in defects:
        for name in _images(folder, place, named, NOT_DEFECT):
            found = masks.claim(place, name, folder / place) if masks else ()
            samples.append(
                Sample(
                    path=f"{prefix}{place}/{name}",
                    split="test",
                    label=1,
                    defect=place,
                    masks=tuple(f"{prefix}{masks_in}/{mask}" for mask in found),
                )
            )
    if masks:
        for place in (*places, *options.normal_test):
            masks.claim_for_normal(place, _images(folder, place, named, NOT_NORMAL))
    if not any(sample.split == "test" for sample in samples):
        raise UserError(
            f"{folder} leaves no image to test on; add a folder of defects, name "
            "dataset.normal_test, or raise dataset.test_fraction"
        )
    unused = tuple(f"{prefix}{masks_in}/{path}" for path in masks.unused) if masks else ()
    of_normal = tuple(f"{prefix}{masks_in}/{path}" for path in masks.of_normal) if masks else ()
    used = {path for s in samples for path in (s.path, *s.masks)} | {*unused, *of_normal}
    return Listing(
        samples=samples,
        split_rule=rule,
        drawn=not options.normal_test,
        unused_masks=unused,
        normal_masks=of_normal,
        masks_in=f"{prefix}{masks_in}" if masks_in else where_looked(str(folder), MASKS[0]),
        left_out=count_left_out(folder, prefix, used, {*named, *defects} - {""}, ()),
    )


def _images(folder: Path, place: str, named: set[str], without: set[str]) -> list[str]:
    """The images of a folder and its sub-folders, without those that have a name of their own."""
    others = [name.removeprefix(f"{place}/") for name in named if name.startswith(f"{place}/")]
    found = images_below(folder / place, without)
    return [name for name in found if not name.startswith(tuple(f"{o}/" for o in others))]


def _mask_folder(folder: Path, options: Options) -> str | None:
    if options.masks is None:
        return find_mask_folder(folder)
    if not (folder / options.masks).is_dir():
        raise UserError(
            f"dataset.masks={options.masks!r} is no folder in {folder}; found: "
            f"{', '.join(folder_names(folder))}"
        )
    return options.masks


FOLDER = Layout(
    categories=_categories,
    listing=_listing,
    matches=_matches,
    structure="folders named in dataset.normal (or one called good, normal, ok, pass or free), "
    "beside them a folder per kind of defect",
    source="these are your own images",
)
