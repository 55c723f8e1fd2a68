"""Which mask belongs to which image: by the folder of its kind, and by its stem.

The mask of `<kind>/<stem>.<suffix>` is `<kind>/<stem>_mask.<any suffix>` below the folder of masks,
or `<stem>`, `<stem>_gt` or `<stem>_label` where no such file exists, or else one whose stem holds
another such word (`<stem>-mask`, `mask_<stem>`); in MVTec LOCO it is a folder `<stem>` with an
image per defect. Where there is no folder of that kind, the last part of the kind's path counts
(`crack` of `NG/crack`), those above it (`NG`), and then the folder of masks itself.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cfa_lab.data.layouts.among import bare, masks_among, owner_of
from cfa_lab.data.layouts.folders import child, folder_names, images_below, stem
from cfa_lab.data.layouts.words import MASKS, means_masks, says_nothing
from cfa_lab.errors import UserError

MARKS = ("_mask", "", "_gt", "_label")
"""What follows an image's stem in its mask's; the first that is there counts."""


@dataclass(frozen=True, kw_only=True)
class MaskFiles:
    """The mask files of a category, wherever they lie."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Where each would lie in a folder of masks with a folder for each kind -> where it lies, below
    the root."""
    told: str
    """Where they lie or were looked for, in words."""
    folder: str | None = None
    """The folder of masks below the category's, where it has one."""


def mask_files(root: Path, prefix: str, *, usual: str, among: str = "") -> MaskFiles:
    """The masks of the category in `root / prefix`: in a folder of masks, or among its images.

    `usual` is the name to look for first; the sub-folders of `among`, itself below the category's,
    are kinds of images.
    """
    folder = root / prefix
    if (name := find_mask_folder(folder, usual)) is not None:
        return in_folder(root, prefix, name)
    shared = find_mask_folder(root) if prefix else None
    if shared is not None:  # a folder of masks for all categories
        own = child(root / shared, prefix.rstrip("/"))
        if own is not None or says_nothing(prefix):
            return in_folder(root, "", f"{shared}/{own}" if own else shared)
    place = f"{prefix}{among}/" if among else prefix
    inside = masks_among(images_below(root / place), of_kinds=True)
    looked = where_looked(prefix.rstrip("/") or str(folder), usual)
    return MaskFiles(
        files={as_if: f"{place}{path}" for path, as_if in inside.items()},
        told=f"{place}, among the images" if inside else looked,
    )


def in_folder(root: Path, prefix: str, name: str) -> MaskFiles:
    """All files of a folder of masks, `name` below `root / prefix`."""
    place = f"{prefix}{name}"
    files = {path: f"{place}/{path}" for path in images_below(root / place)}
    return MaskFiles(files=files, told=place, folder=name)


def find_mask_folder(folder: Path, usual: str | None = None) -> str | None:
    """The folder of masks below a category's: the `usual` one, or one of another usual name."""
    for name in MASKS if usual is None else (usual, *MASKS):
        if (found := child(folder, name)) is not None:
            return found
    names = folder_names(folder)
    others = (name for name in names if means_masks(name) and owner_of(name, names) is None)
    return next(others, None)


def where_looked(place: str, usual: str) -> str:
    """Where `mask_files` looked in vain, in words."""
    others = ", ".join(name for name in MASKS if name != usual)
    return f"{place}/{usual} (or a folder beside it called {others}) and among the images"


class Masks:
    """The mask files of a category; each is claimed by one image.

    `several`: a folder of masks for each image. Paths are relative to the root.
    """

    def __init__(self, root: Path, found: MaskFiles, *, several: bool = False):
        self.root = root
        self.several = several
        self._files = found.files
        self._exact: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._any_case: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._bare: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._own_folders: dict[str, list[str]] = defaultdict(list)
        for path in self._files:
            place, _, name = path.rpartition("/")
            self._exact[place, stem(name)].append(path)
            self._any_case[place.lower(), stem(name).lower()].append(path)
            self._bare[place.lower(), bare(stem(name)).lower()].append(path)
            self._own_folders[place].append(path)
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
                f"{self._real(found[0]).parent}: "
                f"{', '.join(path.rpartition('/')[2] for path in found)}; keep one"
            )
        if not found and (own := self._in_own_folder(kind, image)):
            if not self.several:
                raise UserError(
                    f"masks of {image} lie in a folder of their own, {self._real(own[0]).parent}, "
                    "as in MVTec LOCO; use dataset=mvtec_loco or put one mask per image there"
                )
            found = own
        for mask in found:
            if mask in self._owners:
                raise UserError(
                    f"{self._owners[mask]} and {image} of {image_folder} claim one mask, "
                    f"{self._real(mask)}; give the images different stems, or the masks a "
                    "folder for each kind"
                )
            self._owners[mask] = image
        return tuple(self._files[mask] for mask in found)

    def claim_for_normal(self, kind: str, images: Iterable[str]) -> None:
        """Set aside what is there for normal images, once all defect images have claimed theirs."""
        for image in images:
            for mask in self._of(kind, image):
                if self._owners.setdefault(mask, image) is image:
                    self._of_normal.append(mask)

    @property
    def of_normal(self) -> tuple[str, ...]:
        """Masks of normal images."""
        return tuple(self._files[mask] for mask in self._of_normal)

    @property
    def unused(self) -> tuple[str, ...]:
        """Masks that belong to no image."""
        return tuple(path for mask, path in self._files.items() if mask not in self._owners)

    def _real(self, mask: str) -> Path:
        return self.root / self._files[mask]

    def _of(self, kind: str, image: str) -> list[str]:
        name = stem(image.rpartition("/")[2])
        for index, change in ((self._exact, str), (self._any_case, str.lower)):
            for place in _places(kind, image):
                for mark in MARKS:
                    if found := index.get((change(place), change(f"{name}{mark}"))):
                        return found
        for place in _places(kind, image):
            if found := self._bare.get((place.lower(), name.lower())):
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
    above = [str(place) for place in PurePosixPath(kind).parents]
    own = [kind, kind.rpartition("/")[2], *above[:-1]]
    tested = [f"test/{place}" for place in own]
    for place in dict.fromkeys((*own, *tested, "test", "")):
        if inside != ".":
            yield f"{place}/{inside}" if place else inside
        yield place
