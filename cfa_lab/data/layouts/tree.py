"""Layouts of one tree: a folder per split, in it a folder per kind of defect, masks beside them.

A kind's images may lie in sub-folders of its folder, by date or lot. Other names of the folders of
normal images and of masks are taken where the tree's own is not there, and letter case does not
matter. `masks` says which mask belongs to which image. Images elsewhere are left alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cfa_lab.data.layouts.among import masks_among, owner_of, pictures_below
from cfa_lab.data.layouts.folders import (
    child,
    folder_names,
    image_names,
    readable_folder_names,
)
from cfa_lab.data.layouts.layout import Listing, Options
from cfa_lab.data.layouts.left_out import count_left_out
from cfa_lab.data.layouts.masks import MaskFiles, Masks, mask_files
from cfa_lab.data.layouts.words import (
    OF_TESTS,
    OF_TRAINING,
    is_split,
    means_defect,
    means_masks,
    normal_among,
    not_defect,
    not_normal,
    says_nothing,
)
from cfa_lab.data.samples import GOOD, Sample
from cfa_lab.errors import UserError

OTHERS = {"train": OF_TRAINING, "test": OF_TESTS}
"""Other names of a split's folder."""


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
            if _split(root / name, self.train) or _split(root / name, self.test)
        ]

    def matches(self, root: Path, options: Options | None = None) -> bool:
        """Whether a category has normal images where this tree has them."""
        return any(self.matches_category(root / name) for name in self.categories(root))

    def matches_category(self, folder: Path) -> bool:
        """Whether a category's folder looks like this tree's."""
        train, test = _split(folder, self.train), _split(folder, self.test)
        if train is None or test is None:
            return False
        normal = normal_among(folder_names(folder / train), self.normal)
        if normal or not self.any_name:
            return self.any_name or self.normal in normal
        kinds = folder_names(folder / test)
        found = normal_among(kinds) or any(means_defect(name) for name in kinds)
        return bool(found and image_names(folder / train))

    def listing(self, root: Path, category: str, options: Options) -> Listing:
        """The images of one category, with the masks that belong to them.

        Raises `UserError` for a category without training or without test images, and where it is
        not clear which mask belongs to which image.
        """
        folder = root / category
        places = [_split(folder, name) or name for name in (self.train, self.test)]
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
        found = mask_files(root, f"{category}/", usual=self.truth, among=test.name)
        masks = Masks(root, found, several=self.several_masks)
        samples += (tested := self._tested(test, found, masks))
        if not tested:
            raise UserError(
                f"category {category!r} has no test images; put normal ones into "
                f"{test.path / self.normal} and each kind of defect into a folder "
                f"beside it{_there(test.path)}"
            )
        used = {path for s in samples for path in (s.path, *s.masks)}
        used |= {*masks.unused, *masks.of_normal}
        if found.folder is not None:
            places.append(found.folder)
        return Listing(
            samples=samples,
            unused_masks=masks.unused,
            normal_masks=masks.of_normal,
            masks_in=found.told,
            left_out=count_left_out(folder, f"{category}/", used, places, self.alone),
        )

    def _normal(self, place: "_Place", split: str) -> list[Sample]:
        """Images of the folders that are called so; else those that lie in a training folder."""
        names = [
            f"{normal}/{name}"
            for normal in normal_among(folder_names(place.path), self.normal)
            for name in pictures_below(place.path / normal, not_normal)
        ]
        if not names and split == "train":
            images = image_names(place.path)
            names = [name for name in images if name not in masks_among(images)]
        return [
            Sample(
                path=f"{place.prefix}/{name}",
                split=split,
                label=0,
                defect=GOOD,
                group=self._group(name),
            )
            for name in names
        ]

    def _tested(self, place: "_Place", found: MaskFiles, masks: Masks) -> list[Sample]:
        samples = self._normal(place, "test")
        names = folder_names(place.path)
        normal = normal_among(names, self.normal)
        inside = (found.folder or "").removeprefix(f"{place.name}/")  # as in AD 2
        others = [
            name
            for name in names
            if name not in (*normal, inside)
            and not means_masks(name, surely=True)
            and owner_of(name, names) is None
        ]
        for kind in (kind for name in others for kind in kinds_below(place.path, name)):
            samples += [
                Sample(
                    path=f"{place.prefix}/{kind}/{name}",
                    split="test",
                    label=1,
                    defect=kind,
                    masks=masks.claim(kind, name, place.path / kind),
                    group=self._group(name),
                )
                for name in pictures_below(place.path / kind, not_defect)
            ]
        for kind in normal:
            masks.claim_for_normal(kind, pictures_below(place.path / kind, not_normal))
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
    names = [n for n in folder_names(folder / name) if not not_defect(n)]
    inside = [
        n for n in names if owner_of(n, names) is None and not (is_split(n) or says_nothing(n))
    ]
    words = [n for n in inside if any(letter.isalpha() for letter in n)]
    if not means_defect(name) or words != inside or image_names(folder / name) or not inside:
        return [name]
    return [f"{name}/{kind}" for kind in inside]


def _split(folder: Path, name: str) -> str | None:
    """A split's folder below a category's, by its name or another that means it."""
    places = (child(folder, other) for other in (name, *OTHERS.get(name, ())))
    return next((place for place in places if place is not None), None)


def _there(place: Path) -> str:
    names = folder_names(place)
    return f"; found in {place}: {', '.join(names)}" if names else ""
