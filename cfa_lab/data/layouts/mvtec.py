"""The MVTec AD layout: `<category>/{train/good, test/good, test/<defect>, ground_truth/<defect>}`.

The mask of `test/<defect>/<stem>.<suffix>` is `ground_truth/<defect>/<stem>_mask.<any suffix>`, or
`<stem>.<any suffix>` where no such file exists (MPDD allows both). Images outside these folders are
not part of the layout and are left alone.
"""

from collections import defaultdict
from pathlib import Path

from cfa_lab.data.layouts.folders import folder_names, image_names
from cfa_lab.data.layouts.layout import Layout
from cfa_lab.data.samples import GOOD, Sample
from cfa_lab.errors import UserError


def categories(root: Path) -> list[str]:
    """The folders under `root` that hold a `train` or a `test` folder."""
    return [name for name in folder_names(root) if {"train", "test"} & {*folder_names(root / name)}]


def samples(root: Path, category: str) -> list[Sample]:
    """The images of one category, with the masks that belong to them.

    Raises `UserError` for a category without training or without test images, and where it is not
    clear which mask belongs to which image.
    """
    folder = root / category
    train = [
        Sample(path=f"{category}/train/{GOOD}/{name}", split="train", label=0, defect=GOOD)
        for name in image_names(folder / "train" / GOOD)
    ]
    if not train:
        raise UserError(
            f"category {category!r} has no training images; put normal images into "
            f"{folder / 'train' / GOOD}"
        )
    test = [
        Sample(
            path=f"{category}/test/{defect}/{name}",
            split="test",
            label=int(defect != GOOD),
            defect=defect,
            masks=tuple(f"{category}/ground_truth/{defect}/{mask}" for mask in masks),
        )
        for defect in folder_names(folder / "test")
        for name, masks in _with_masks(folder, defect)
    ]
    if not test:
        raise UserError(
            f"category {category!r} has no test images; put normal ones into "
            f"{folder / 'test' / GOOD} and each kind of defect into a folder beside it"
        )
    return train + test


def _with_masks(folder: Path, defect: str) -> list[tuple[str, tuple[str, ...]]]:
    """Names of one test folder's images, each with the names of its masks (none or one)."""
    images = image_names(folder / "test" / defect)
    if defect == GOOD:
        return [(name, ()) for name in images]
    mask_folder = folder / "ground_truth" / defect
    masks_of_stem: dict[str, list[str]] = defaultdict(list)
    for mask in image_names(mask_folder):
        masks_of_stem[_stem(mask)].append(mask)

    owners: dict[str, str] = {}
    rows = []
    for name in images:
        masks = masks_of_stem.get(f"{_stem(name)}_mask") or masks_of_stem.get(_stem(name)) or []
        if len(masks) > 1:
            raise UserError(
                f"{name} of {folder / 'test' / defect} has {len(masks)} masks of one stem in "
                f"{mask_folder}: {', '.join(masks)}; keep one"
            )
        for mask in masks:
            if mask in owners:
                raise UserError(
                    f"{owners[mask]} and {name} of {folder / 'test' / defect} claim one mask, "
                    f"{mask_folder / mask}; give the images different stems"
                )
            owners[mask] = name
        rows.append((name, tuple(masks)))
    return rows


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


MVTEC = Layout(
    categories=categories,
    samples=samples,
    structure="<category>/train/good, <category>/test/<defect>, <category>/ground_truth/<defect>",
    source="MVTec AD is on MVTec's own website, free for research",
)
