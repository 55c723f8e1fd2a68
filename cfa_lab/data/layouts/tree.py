"""Layouts of one tree: a folder per split, in it a folder per kind of defect, masks beside them.

The mask of `<test>/<defect>/<stem>.<suffix>` is `<truth>/<defect>/<stem>_mask.<any suffix>`, or
`<stem>.<any suffix>` where no such file exists; in MVTec LOCO it is a folder `<stem>` with an image
per defect. Images outside these folders are not part of the layout and are left alone.
"""

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from cfa_lab.data.layouts.folders import folder_names, image_names, stem
from cfa_lab.data.layouts.layout import Listing, Options
from cfa_lab.data.samples import GOOD, Sample
from cfa_lab.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The names of a tree's folders, below a category's.

    `several_masks`: a folder of masks per image. `group` finds an image's group in its file name.
    """

    train: str = "train"
    validation: str | None = None
    test: str = "test"
    truth: str = "ground_truth"
    normal: str = GOOD
    several_masks: bool = False
    group: Callable[[str], str | None] = lambda name: None

    def categories(self, root: Path, options: Options | None = None) -> list[str]:
        """The folders under `root` that hold a folder for training or for testing."""
        known = {self.train, self.test}
        return [name for name in folder_names(root) if known & {*folder_names(root / name)}]

    def matches(self, root: Path, options: Options | None = None) -> bool:
        """Whether a category has normal images where this tree has them."""
        return any(self.matches_category(root / name) for name in self.categories(root))

    def matches_category(self, folder: Path) -> bool:
        """Whether a category's folder looks like this tree's."""
        return (folder / self.train / self.normal).is_dir() and (folder / self.test).is_dir()

    def listing(self, root: Path, category: str, options: Options) -> Listing:
        """The images of one category, with the masks that belong to them.

        Raises `UserError` for a category without training or without test images, and where it is
        not clear which mask belongs to which image.
        """
        folder = root / category
        train = self._normal(folder, self.train, "train")
        if not train:
            raise UserError(
                f"category {category!r} has no training images; put normal images into "
                f"{folder / self.train / self.normal}"
            )
        held = self._normal(folder, self.validation, "validation") if self.validation else []
        test = [
            Sample(
                path=f"{category}/{self.test}/{defect}/{name}",
                split="test",
                label=int(defect != self.normal),
                defect=GOOD if defect == self.normal else defect,
                masks=tuple(f"{category}/{self.truth}/{defect}/{mask}" for mask in masks),
                group=self.group(name),
            )
            for defect in self._defects(folder)
            for name, masks in self._with_masks(folder, defect)
        ]
        if not test:
            raise UserError(
                f"category {category!r} has no test images; put normal ones into "
                f"{folder / self.test / self.normal} and each kind of defect into a folder "
                "beside it"
            )
        claimed = {mask for sample in test for mask in sample.masks}
        there = (f"{category}/{self.truth}/{mask}" for mask in self._masks(folder / self.truth))
        unused = tuple(mask for mask in there if mask not in claimed)
        return Listing(samples=train + held + test, unused_masks=unused)

    def _defects(self, folder: Path) -> list[str]:
        inside = self.truth.removeprefix(f"{self.test}/")  # MVTec AD 2 keeps masks among the tests
        return [name for name in folder_names(folder / self.test) if name != inside]

    def _normal(self, folder: Path, place: str, split: str) -> list[Sample]:
        return [
            Sample(
                path=f"{folder.name}/{place}/{self.normal}/{name}",
                split=split,
                label=0,
                defect=GOOD,
                group=self.group(name),
            )
            for name in image_names(folder / place / self.normal)
        ]

    def _masks(self, truth: Path) -> list[str]:
        """All mask files, relative to the folder of masks."""
        found = []
        for defect in folder_names(truth):
            found += [f"{defect}/{name}" for name in image_names(truth / defect)]
            if self.several_masks:
                for image in folder_names(truth / defect):
                    inside = image_names(truth / defect / image)
                    found += [f"{defect}/{image}/{name}" for name in inside]
        return found

    def _with_masks(self, folder: Path, defect: str) -> list[tuple[str, tuple[str, ...]]]:
        """Names of one test folder's images, each with its masks, relative to their folder."""
        images = image_names(folder / self.test / defect)
        if defect == self.normal:
            return [(name, ()) for name in images]
        return match_masks(
            images,
            folder / self.test / defect,
            folder / self.truth / defect,
            several=self.several_masks,
        )


def match_masks(
    images: Collection[str], image_folder: Path, mask_folder: Path, *, several: bool = False
) -> list[tuple[str, tuple[str, ...]]]:
    """Each image's name with the names of its masks, matched by stem.

    Raises `UserError` where one stem has two masks, or two images claim one mask.
    """
    masks_of_stem: dict[str, list[str]] = defaultdict(list)
    for mask in image_names(mask_folder):
        masks_of_stem[stem(mask)].append(mask)
    subfolders = {*folder_names(mask_folder)}
    owners: dict[str, str] = {}
    rows = []
    for name in images:
        masks = masks_of_stem.get(f"{stem(name)}_mask") or masks_of_stem.get(stem(name)) or []
        if len(masks) > 1:
            raise UserError(
                f"{name} of {image_folder} has {len(masks)} masks of one stem in "
                f"{mask_folder}: {', '.join(masks)}; keep one"
            )
        if not masks and stem(name) in subfolders:
            if not several:
                raise UserError(
                    f"masks of {name} lie in a folder of their own, {mask_folder / stem(name)}, "
                    "as in MVTec LOCO; use dataset=mvtec_loco or put one mask per image there"
                )
            masks = [f"{stem(name)}/{mask}" for mask in image_names(mask_folder / stem(name))]
        for mask in masks:
            if mask in owners:
                raise UserError(
                    f"{owners[mask]} and {name} of {image_folder} claim one mask, "
                    f"{mask_folder / mask}; give the images different stems"
                )
            owners[mask] = name
        rows.append((name, tuple(masks)))
    return rows
