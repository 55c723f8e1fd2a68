"""Which mask belongs to which image: by the folder of its kind, and by its stem.

The mask of `<kind>/<stem>.<suffix>` is `<kind>/<stem>_mask.<any suffix>` below the folder of masks,
or `<stem>`, `<stem>_gt` or `<stem>_label` where no such file exists; in MVTec LOCO it is a folder
`<stem>` with an image per defect. Where there is no folder of that kind, the last part of the
kind's path counts (`crack` of `NG/crack`), and then the folder of masks itself.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from cfa_lab.data.layouts.folders import child, images_below, stem
from cfa_lab.data.layouts.words import MASKS
from cfa_lab.errors import UserError

MARKS = ("_mask", "", "_gt", "_label")
"""What follows an image's stem in its mask's; the first that is there counts."""


def find_mask_folder(folder: Path, usual: str | None = None) -> str | None:
    """The folder of masks below a category's: the `usual` one, or one of another usual name."""
    for name in MASKS if usual is None else (usual, *MASKS):
        if (found := child(folder, name)) is not None:
            return found
    return None


def where_looked(place: str, usual: str) -> str:
    """Where `find_mask_folder` looked in vain, in words."""
    others = ", ".join(name for name in MASKS if name != usual)
    return f"{place}/{usual} (or a folder beside it called {others})"


class Masks:
    """The mask files below one folder; each is claimed by one image.

    `several`: a folder of masks for each image. Paths are relative to `folder`.
    """

    def __init__(self, folder: Path, *, several: bool = False):
        self.folder = folder
        self.several = several
        self._paths = images_below(folder)
        self._exact: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._any_case: dict[tuple[str, str], list[str]] = defaultdict(list)
        for path in self._paths:
            place, _, name = path.rpartition("/")
            self._exact[place, stem(name)].append(path)
            self._any_case[place.lower(), stem(name).lower()].append(path)
        self._own_folders: dict[str, list[str]] = defaultdict(list)
        for path in self._paths:
            self._own_folders[path.rpartition("/")[0]].append(path)
        self._owners: dict[str, str] = {}
        self._of_normal: list[str] = []

    def claim(self, kind: str, image: str, image_folder: Path) -> tuple[str, ...]:
        """The masks of a defect image, which is named relative to its kind's `image_folder`.

        Raises `UserError` where it has two of one stem, and where another image has claimed it.
        """
        found = self._of(kind, image)
        if len(found) > 1 and not self._in_own_folder(kind, image):
            raise UserError(
                f"{image} of {image_folder} has {len(found)} masks of one stem in "
                f"{self.folder / found[0].rpartition('/')[0]}: "
                f"{', '.join(path.rpartition('/')[2] for path in found)}; keep one"
            )
        if not found and (own := self._in_own_folder(kind, image)):
            if not self.several:
                lies = self.folder / own[0].rpartition("/")[0]
                raise UserError(
                    f"masks of {image} lie in a folder of their own, {lies}, "
                    "as in MVTec LOCO; use dataset=mvtec_loco or put one mask per image there"
                )
            found = own
        for mask in found:
            if mask in self._owners:
                raise UserError(
                    f"{self._owners[mask]} and {image} of {image_folder} claim one mask, "
                    f"{self.folder / mask}; give the images different stems, or the masks a "
                    "folder for each kind"
                )
            self._owners[mask] = image
        return tuple(found)

    def claim_for_normal(self, kind: str, images: Iterable[str]) -> None:
        """Set aside what is there for normal images, once all defect images have claimed theirs."""
        for image in images:
            for mask in self._of(kind, image):
                if self._owners.setdefault(mask, image) is image:
                    self._of_normal.append(mask)

    @property
    def of_normal(self) -> list[str]:
        """Masks of normal images."""
        return self._of_normal

    @property
    def unused(self) -> list[str]:
        """Masks that belong to no image."""
        return [path for path in self._paths if path not in self._owners]

    def _of(self, kind: str, image: str) -> list[str]:
        name = stem(image.rpartition("/")[2])
        for index, change in ((self._exact, str), (self._any_case, str.lower)):
            for place in _places(kind, image):
                for mark in MARKS:
                    if found := index.get((change(place), change(f"{name}{mark}"))):
                        return found
        return []

    def _in_own_folder(self, kind: str, image: str) -> list[str]:
        name = stem(image.rpartition("/")[2])
        for place in _places(kind, image):
            if found := self._own_folders.get(f"{place}/{name}" if place else name):
                return found
        return []


def _places(kind: str, image: str) -> Iterator[str]:
    """Folders, relative to that of masks, in which an image's mask may lie, the nearest first."""
    inside = str(PurePosixPath(image).parent)
    for place in dict.fromkeys((kind, kind.rpartition("/")[2], "")):
        if inside != ".":
            yield f"{place}/{inside}" if place else inside
        yield place
