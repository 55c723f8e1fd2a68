"""KolektorSDD and KolektorSDD2: an image is a defect image where its mask is not all zero.

That is why these two layouts open the masks, and only they.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cfa_lab.data.layouts.folders import folder_names, image_names, stem
from cfa_lab.data.layouts.layout import Layout, Listing, Options
from cfa_lab.data.layouts.splits import draw_test
from cfa_lab.data.masks import load_mask_channels
from cfa_lab.data.samples import GOOD, Sample
from cfa_lab.errors import UserError

ITEM = re.compile(r"kos\d+", re.IGNORECASE)
DEFECT = "defect"
THREADS = 4


def _pairs(root: Path, folder: str, mark: str) -> list[tuple[str, str]]:
    """Images of a folder with their masks, paths relative to the root."""
    names = image_names(root / folder)
    masks = {stem(name)[: -len(mark)]: name for name in names if stem(name).endswith(mark)}
    images = [name for name in names if not stem(name).endswith(mark)]
    for name in images:
        if stem(name) not in masks:
            raise UserError(
                f"image {root / folder / name} has no mask {stem(name)}{mark}.*, which says "
                "whether it is normal; put an all-black one there or take the image out"
            )
    return [(f"{folder}/{name}", f"{folder}/{masks[stem(name)]}") for name in images]


def _orphans(root: Path, folder: str, mark: str) -> list[str]:
    names = image_names(root / folder)
    images = {stem(name) for name in names if not stem(name).endswith(mark)}
    marked = (name for name in names if stem(name).endswith(mark))
    return [f"{folder}/{name}" for name in marked if stem(name)[: -len(mark)] not in images]


def _defective(root: Path, masks: Sequence[str]) -> list[bool]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda mask: bool(load_mask_channels([root / mask]).any()), masks))


def _sample(image: str, mask: str, *, split: str, defective: bool, group: str | None) -> Sample:
    return Sample(
        path=image,
        split=split,
        label=int(defective),
        defect=DEFECT if defective else GOOD,
        masks=(mask,) if defective else (),
        group=group,
    )


def _items(root: Path) -> list[str]:
    return [name for name in folder_names(root) if ITEM.fullmatch(name)]


def _listing(root: Path, category: str, options: Options) -> Listing:
    """Items are drawn for testing, with all their images; of the others the normal images train."""
    pairs = [pair for item in _items(root) for pair in _pairs(root, item, "_label")]
    defective = _defective(root, [mask for _, mask in pairs])
    item_of = {image: image.partition("/")[0] for image, _ in pairs}
    drawn = draw_test(item_of, fraction=options.test_fraction, seed=options.seed)
    samples, left_out = [], 0
    for (image, mask), flawed in zip(pairs, defective, strict=True):
        if flawed and image not in drawn:
            left_out += 1
            continue
        split = "test" if image in drawn else "train"
        samples.append(_sample(image, mask, split=split, defective=flawed, group=item_of[image]))
    _check_both(samples, root)
    rule = (
        f"drawn here: items with {options.test_fraction:g} of all images to test on, seed "
        f"{options.seed}; {left_out} defect images of the other items left out"
    )
    orphans = [mask for item in _items(root) for mask in _orphans(root, item, "_label")]
    return Listing(samples=samples, split_rule=rule, drawn=True, unused_masks=tuple(orphans))


def _listing2(root: Path, category: str, options: Options) -> Listing:
    """The data set's own split; its defect images for training are left out."""
    samples, orphans, left_out = [], [], 0
    for split in ("train", "test"):
        pairs = _pairs(root, split, "_GT")
        defective = _defective(root, [mask for _, mask in pairs])
        orphans += _orphans(root, split, "_GT")
        for (image, mask), flawed in zip(pairs, defective, strict=True):
            if flawed and split == "train":
                left_out += 1
            else:
                samples.append(_sample(image, mask, split=split, defective=flawed, group=None))
    _check_both(samples, root)
    rule = f"the data set's own; its {left_out} defect images for training left out"
    return Listing(samples=samples, split_rule=rule, unused_masks=tuple(orphans))


def _check_both(samples: list[Sample], root: Path) -> None:
    for split in ("train", "test"):
        if not any(sample.split == split for sample in samples):
            raise UserError(
                f"{root} has no image to {split} on; normal images are those whose mask is black"
            )


def _is_kolektor2(root: Path) -> bool:
    names = image_names(root / "train")
    return any(stem(name).endswith("_GT") for name in names)


KOLEKTOR = Layout(
    categories=lambda root, options: ["kolektor"] if _items(root) else [],
    listing=_listing,
    matches=lambda root, options: bool(_items(root)),
    structure="kos<number>/Part<number>.jpg with Part<number>_label.bmp",
    source="KolektorSDD is on its authors' website (ViCoS, Ljubljana), free for research",
)
KOLEKTOR2 = Layout(
    categories=lambda root, options: ["kolektor2"] if _is_kolektor2(root) else [],
    listing=_listing2,
    matches=lambda root, options: _is_kolektor2(root),
    structure="train/<number>.png with train/<number>_GT.png, test/ alike",
    source="KolektorSDD2 is on its authors' website (ViCoS, Ljubljana), free for research",
)
