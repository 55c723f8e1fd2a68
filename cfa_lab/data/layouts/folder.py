"""The layout `folder`: any folders of normal images, optional folders of defects and of masks.

Folders named by the keys are relative to the category's; a category is a folder that holds the
first of the normal ones, or the root itself. Images may lie in sub-folders.
"""

from pathlib import Path

from cfa_lab.data.layouts.among import owner_of, pictures_below
from cfa_lab.data.layouts.folders import (
    Skip,
    folder_names,
    has_images,
    images_below,
    readable_folder_names,
)
from cfa_lab.data.layouts.layout import Layout, Listing, Options
from cfa_lab.data.layouts.left_out import count_left_out
from cfa_lab.data.layouts.masks import MaskFiles, Masks, in_folder, mask_files
from cfa_lab.data.layouts.splits import draw_test, drawn_rule
from cfa_lab.data.layouts.tree import kinds_below
from cfa_lab.data.layouts.words import (
    MASKS,
    OF_TESTS,
    OF_TRAINING,
    is_split,
    means_masks,
    normal_among,
    not_defect,
    not_normal,
)
from cfa_lab.data.samples import GOOD, Sample
from cfa_lab.errors import UserError


def _normal(folder: Path, options: Options) -> tuple[str, ...]:
    if options.normal is not None:
        return options.normal
    names = [n for n in normal_among(folder_names(folder)) if has_images(folder / n, not_normal)]
    return tuple(names)


def _is_category(folder: Path, options: Options) -> bool:
    normal = _normal(folder, options)
    return bool(normal) and (folder / normal[0]).is_dir()


def _categories(root: Path, options: Options) -> list[str]:
    if _is_category(root, options):
        return [root.name]
    names = readable_folder_names(root)
    if options.normal is None:  # splits are no categories: that is another layout, if any
        names = [name for name in names if not is_split(name)]
    return [name for name in names if _is_category(root / name, options)]


def _matches(root: Path, options: Options) -> bool:
    """Not where a split would be taken for a category: that is another layout, if any."""
    return not all(map(is_split, _categories(root, options)))


def _listing(root: Path, category: str, options: Options) -> Listing:
    whole = _is_category(root, options)
    folder = root if whole else root / category
    prefix = "" if whole else f"{category}/"
    places, tested = _divided(folder, _normal(folder, options), options)
    for place in (*places, *tested, *(options.defects or ())):
        if not images_below(folder / place):
            raise UserError(
                f"folder {folder / place} holds no images; name folders of images in "
                "dataset.normal, dataset.normal_test and dataset.defects"
            )
    found = _mask_files(root, prefix, options)
    masks = Masks(root, found)
    named = {*places, *tested, *(options.defects or ()), found.folder or ""}
    images = [
        f"{prefix}{place}/{name}"
        for place in places
        for name in _images(folder, place, named, not_normal)
    ]
    drawn: set[str] = set()
    rule = "the folders named in dataset.normal_test"
    if not tested:
        alone = {image: image for image in images}
        drawn = draw_test(alone, fraction=options.test_fraction, seed=options.seed)
        rule = drawn_rule(options.test_fraction, options.seed)
    elif not options.normal_test:
        rule = f"the folders {', '.join((*places, *tested))}"
    samples = [
        Sample(path=path, split="test" if path in drawn else "train", label=0, defect=GOOD)
        for path in images
    ]
    samples += [
        Sample(path=f"{prefix}{place}/{name}", split="test", label=0, defect=GOOD)
        for place in tested
        for name in _images(folder, place, named, not_normal)
    ]
    defects = _defects(folder, named) if options.defects is None else options.defects
    samples += [
        Sample(
            path=f"{prefix}{place}/{name}",
            split="test",
            label=1,
            defect=place,
            masks=masks.claim(place, name, folder / place),
        )
        for place in defects
        for name in _images(folder, place, named, not_defect)
    ]
    for place in (*places, *tested):
        masks.claim_for_normal(place, _images(folder, place, named, not_normal))
    if not any(sample.split == "test" for sample in samples):
        raise UserError(
            f"{folder} leaves no image to test on; add a folder of defects, name "
            "dataset.normal_test, or raise dataset.test_fraction"
        )
    used = {path for s in samples for path in (s.path, *s.masks)}
    used |= {*masks.unused, *masks.of_normal}
    return Listing(
        samples=samples,
        split_rule=rule,
        drawn=not tested,
        unused_masks=masks.unused,
        normal_masks=masks.of_normal,
        masks_in=found.told,
        left_out=count_left_out(folder, prefix, used, {*named, *defects} - {""}, ()),
    )


def _divided(
    folder: Path, places: tuple[str, ...], options: Options
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Folders of normal images to train on and to test on, as named, or `good/train`, `good/test`.

    None to test on where a part has to be drawn.
    """
    if options.normal is not None or options.normal_test:
        return places, options.normal_test
    below = [(place, name) for place in places for name in folder_names(folder / place)]
    train, test = (
        tuple(f"{place}/{name}" for place, name in below if name.lower() in words)
        for words in (OF_TRAINING, OF_TESTS)
    )
    return (train, test) if train and test else (places, ())


def _defects(folder: Path, named: set[str]) -> tuple[str, ...]:
    """The kinds of defect: all other folders, but for those of masks."""
    known = {place.partition("/")[0] for place in named}
    names = folder_names(folder)
    return tuple(
        kind
        for name in names
        if name not in known and not means_masks(name) and owner_of(name, names) is None
        for kind in kinds_below(folder, name)
    )


def _images(folder: Path, place: str, named: set[str], skip: Skip) -> list[str]:
    """The images of a folder and its sub-folders, without those that have a name of their own."""
    others = [name.removeprefix(f"{place}/") for name in named if name.startswith(f"{place}/")]
    found = pictures_below(folder / place, skip)
    return [name for name in found if not name.startswith(tuple(f"{o}/" for o in others))]


def _mask_files(root: Path, prefix: str, options: Options) -> MaskFiles:
    folder = root / prefix
    if options.masks is None:
        return mask_files(root, prefix, usual=MASKS[0])
    if not (folder / options.masks).is_dir():
        raise UserError(
            f"dataset.masks={options.masks!r} is no folder in {folder}; found: "
            f"{', '.join(folder_names(folder))}"
        )
    return in_folder(root, prefix, options.masks)


FOLDER = Layout(
    categories=_categories,
    listing=_listing,
    matches=_matches,
    structure="folders named in dataset.normal (or one called good, normal, ok, pass or free), "
    "beside them a folder per kind of defect",
    source="these are your own images",
)
