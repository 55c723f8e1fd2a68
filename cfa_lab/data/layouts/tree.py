"""Layouts of one tree: a folder per split, in it a folder per kind of defect, masks beside them.

A kind's images may lie in sub-folders of its folder, by date or lot. Other names of the folders of
normal images and of masks are taken where the tree's own is not there, and letter case does not
matter. `masks` says which mask belongs to which image. Images elsewhere are left alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cfa_lab.data.layouts.folders import (
    child,
    folder_names,
    image_names,
    images_below,
    readable_folder_names,
)
from cfa_lab.data.layouts.layout import Listing, Options
from cfa_lab.data.layouts.left_out import count_left_out
from cfa_lab.data.layouts.masks import Masks, find_mask_folder, where_looked
from cfa_lab.data.layouts.words import DEFECT, MASKS, NORMAL
from cfa_lab.data.samples import GOOD, Sample
from cfa_lab.errors import UserError

NOT_NORMAL = {*DEFECT, *MASKS}
NOT_DEFECT = {*NORMAL, *MASKS}
"""Sub-folders that are no part of the images around them."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The names of a tree's folders, below a category's.

    `several_masks`: a folder of masks per image. `group` finds an image's group in its file name.
    `any_name`: a folder of normal images under another usual name looks like this tree's, too.
    `alone` names folders that nobody expects to be read.
    """

    train: str = "train"
    validation: str | None = None
    test: str = "test"
    truth: str = "ground_truth"
    normal: str = GOOD
    several_masks: bool = False
    any_name: bool = False
    alone: tuple[str, ...] = ()
    group: Callable[[str], str | None] = lambda name: None

    def categories(self, root: Path, options: Options | None = None) -> list[str]:
        """The folders under `root` that hold a folder for training or for testing."""
        return [
            name
            for name in readable_folder_names(root)
            if child(root / name, self.train) or child(root / name, self.test)
        ]

    def matches(self, root: Path, options: Options | None = None) -> bool:
        """Whether a category has normal images where this tree has them."""
        return any(self.matches_category(root / name) for name in self.categories(root))

    def matches_category(self, folder: Path) -> bool:
        """Whether a category's folder looks like this tree's."""
        train, test = child(folder, self.train), child(folder, self.test)
        if train is None or test is None:
            return False
        normal = self._normal_names(folder / train)
        return bool(normal) if self.any_name else self.normal in normal

    def listing(self, root: Path, category: str, options: Options) -> Listing:
        """The images of one category, with the masks that belong to them.

        Raises `UserError` for a category without training or without test images, and where it is
        not clear which mask belongs to which image.
        """
        folder = root / category
        places = [child(folder, name) or name for name in (self.train, self.test)]
        train, test = (_Place(folder, place) for place in places)
        samples = self._normal(train, "train")
        if not samples:
            raise UserError(
                f"category {category!r} has no training images; put normal images into "
                f"{train.path / self.normal}{_there(train.path)}"
            )
        if self.validation:
            held = _Place(folder, child(folder, self.validation) or self.validation)
            samples += self._normal(held, "validation")
            places.append(held.name)
        truth = find_mask_folder(folder, self.truth)
        masks = Masks(folder / truth, several=self.several_masks) if truth else None
        samples += (tested := self._tested(test, truth, masks))
        if not tested:
            raise UserError(
                f"category {category!r} has no test images; put normal ones into "
                f"{test.path / self.normal} and each kind of defect into a folder "
                f"beside it{_there(test.path)}"
            )
        unused = [f"{category}/{truth}/{path}" for path in masks.unused] if masks else []
        of_normal = [f"{category}/{truth}/{path}" for path in masks.of_normal] if masks else []
        used = {path for s in samples for path in (s.path, *s.masks)} | {*unused, *of_normal}
        if truth:
            places.append(truth)
        return Listing(
            samples=samples,
            unused_masks=tuple(unused),
            normal_masks=tuple(of_normal),
            masks_in=f"{category}/{truth}" if truth else where_looked(category, self.truth),
            left_out=count_left_out(folder, f"{category}/", used, places, self.alone),
        )

    def _normal_names(self, place: Path) -> list[str]:
        """Folders of normal images: the tree's own, or else whatever is called so elsewhere."""
        names = folder_names(place)
        if self.normal in names:
            return [self.normal]
        return [name for name in names if name.lower() in NORMAL]

    def _normal(self, place: "_Place", split: str) -> list[Sample]:
        return [
            Sample(
                path=f"{place.prefix}/{normal}/{name}",
                split=split,
                label=0,
                defect=GOOD,
                group=self._group(name),
            )
            for normal in self._normal_names(place.path)
            for name in images_below(place.path / normal, NOT_NORMAL)
        ]

    def _tested(self, place: "_Place", truth: str | None, masks: Masks | None) -> list[Sample]:
        samples = self._normal(place, "test")
        normal = self._normal_names(place.path)
        inside = (truth or "").removeprefix(f"{place.name}/")  # AD 2 keeps masks among the tests
        others = [name for name in folder_names(place.path) if name not in (*normal, inside)]
        for kind in (kind for name in others for kind in kinds_below(place.path, name)):
            for name in images_below(place.path / kind, NOT_DEFECT):
                found = masks.claim(kind, name, place.path / kind) if masks else ()
                samples.append(
                    Sample(
                        path=f"{place.prefix}/{kind}/{name}",
                        split="test",
                        label=1,
                        defect=kind,
                        masks=tuple(f"{place.folder.name}/{truth}/{mask}" for mask in found),
                        group=self._group(name),
                    )
                )
        if masks:
            for kind in normal:
                masks.claim_for_normal(kind, images_below(place.path / kind, NOT_NORMAL))
        return samples

    def _group(self, name: str) -> str | None:
        return self.group(name.rpartition("/")[2])


@dataclass(frozen=True)
class _Place:
    """The folder of a split: `name` below a category's `folder`."""

    folder: Path
    name: str

    @property
    def path(self) -> Path:
        return self.folder / self.name

    @property
    def prefix(self) -> str:
        """What paths of samples begin with."""
        return f"{self.folder.name}/{self.name}"


def kinds_below(folder: Path, name: str) -> list[str]:
    """The kinds of defect that a folder below `folder` holds, as paths: itself, or those inside.

    A folder of a name that only says defect and without images of its own, such as `NG`, holds
    kinds, if what lies in it is named by words; dates and numbers are no kinds.
    """
    inside = [n for n in folder_names(folder / name) if n.lower() not in NOT_DEFECT]
    words = [n for n in inside if any(letter.isalpha() for letter in n)]
    if name.lower() not in DEFECT or words != inside or image_names(folder / name) or not inside:
        return [name]
    return [f"{name}/{kind}" for kind in inside]


def _there(place: Path) -> str:
    names = folder_names(place)
    return f"; found in {place}: {', '.join(names)}" if names else ""
