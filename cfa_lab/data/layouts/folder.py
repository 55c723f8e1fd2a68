"""The layout `folder`: any folders of normal images, optional folders of defects and of masks.

Folders named by the keys are relative to the category's; a category is a folder that holds the
first of the normal ones, or the root itself.
"""

from pathlib import Path

from cfa_lab.data.layouts.folders import folder_names, image_names
from cfa_lab.data.layouts.layout import Layout, Listing, Options
from cfa_lab.data.layouts.splits import draw_test, drawn_rule
from cfa_lab.data.layouts.tree import match_masks
from cfa_lab.data.samples import GOOD, Sample
from cfa_lab.errors import UserError

NORMAL_NAMES = ("good", "normal", "ok", "free")
MASK_NAMES = ("masks", "mask", "ground_truth")


def _normal(folder: Path, options: Options) -> tuple[str, ...]:
    if options.normal is not None:
        return options.normal
    return tuple(
        name
        for name in folder_names(folder)
        if name.lower() in NORMAL_NAMES and image_names(folder / name)
    )


def _is_category(folder: Path, options: Options) -> bool:
    normal = _normal(folder, options)
    return bool(normal) and (folder / normal[0]).is_dir()


def _categories(root: Path, options: Options) -> list[str]:
    if _is_category(root, options):
        return [root.name]
    return [name for name in folder_names(root) if _is_category(root / name, options)]


def _listing(root: Path, category: str, options: Options) -> Listing:
    whole = _is_category(root, options)
    folder = root if whole else root / category
    prefix = "" if whole else f"{category}/"
    places = _normal(folder, options)
    for place in (*places, *options.normal_test, *(options.defects or ())):
        if not image_names(folder / place):
            raise UserError(
                f"folder {folder / place} holds no images; name folders of images in "
                "dataset.normal, dataset.normal_test and dataset.defects"
            )
    images = [f"{prefix}{place}/{name}" for place in places for name in image_names(folder / place)]
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
        for name in image_names(folder / place)
    ]
    masks = _mask_folder(folder, options)
    defects = options.defects
    if defects is None:
        others = {*places, *options.normal_test, masks}
        known = {place.partition("/")[0] for place in others if place}
        defects = tuple(n for n in folder_names(folder) if n not in known)
    for place in defects:
        samples += _defect_samples(folder, prefix, place, masks)
    if not any(sample.split == "test" for sample in samples):
        raise UserError(
            f"{folder} leaves no image to test on; add a folder of defects, name "
            "dataset.normal_test, or raise dataset.test_fraction"
        )
    claimed = {mask for sample in samples for mask in sample.masks}
    there = _masks_below(folder, prefix, masks) if masks else []
    unused = tuple(mask for mask in there if mask not in claimed)
    return Listing(
        samples=samples, split_rule=rule, drawn=not options.normal_test, unused_masks=unused
    )


def _mask_folder(folder: Path, options: Options) -> str | None:
    if options.masks is None:
        return next((name for name in folder_names(folder) if name.lower() in MASK_NAMES), None)
    if not (folder / options.masks).is_dir():
        raise UserError(
            f"dataset.masks={options.masks!r} is no folder in {folder}; found: "
            f"{', '.join(folder_names(folder))}"
        )
    return options.masks


def _defect_samples(folder: Path, prefix: str, place: str, masks: str | None) -> list[Sample]:
    """The images of one folder of defects; masks lie in a folder of its name, or all in one."""
    of_kind = None
    if masks is not None:
        named = f"{masks}/{place}"
        of_kind = named if (folder / named).is_dir() else masks
    names = image_names(folder / place)
    matched = (
        match_masks(names, folder / place, folder / of_kind)
        if of_kind
        else [(name, ()) for name in names]
    )
    return [
        Sample(
            path=f"{prefix}{place}/{name}",
            split="test",
            label=1,
            defect=place,
            masks=tuple(f"{prefix}{of_kind}/{mask}" for mask in found),
        )
        for name, found in matched
    ]


def _masks_below(folder: Path, prefix: str, masks: str) -> list[str]:
    places = [masks, *(f"{masks}/{name}" for name in folder_names(folder / masks))]
    return [f"{prefix}{place}/{name}" for place in places for name in image_names(folder / place)]


FOLDER = Layout(
    categories=_categories,
    listing=_listing,
    matches=lambda root, options: bool(_categories(root, options)),
    structure="folders named in dataset.normal (or one called good, normal, ok or free), "
    "beside them a folder per kind of defect",
    source="these are your own images",
)
