"""What a folder layout is: two pure functions of a folder."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cfa_lab.data.samples import LeftOut, Sample
from cfa_lab.data.saturation import Saturation


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a folder alone does not say; each layout looks at those it needs.

    `seed` and `test_fraction` draw a split where the data set has none. `split` chooses one of
    several official lists (VisA, Real-IAD), `images` the folder of images where there are several
    sizes (Real-IAD), `index` the index file (csv). `normal`, `normal_test`, `defects` and `masks`
    name folders for the layout `folder`; None looks for them.
    """

    seed: int = 0
    test_fraction: float = 0.2
    split: str | None = None
    images: str | None = None
    index: str = "index.csv"
    normal: tuple[str, ...] | None = None
    normal_test: tuple[str, ...] = ()
    defects: tuple[str, ...] | None = None
    masks: str | None = None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a layout found in one category; the fields are those of `SampleTable`."""

    samples: Iterable[Sample]
    split_rule: str = "the data set's own"
    drawn: bool = False
    mask_above: int = 0
    unused_masks: tuple[str, ...] = ()
    normal_masks: tuple[str, ...] = ()
    masks_in: str = ""
    left_out: tuple[LeftOut, ...] = ()
    saturation: Mapping[int, Saturation] | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one family of data sets lies on disk, and where a user gets it.

    `categories(root, options)` lists the categories found; `listing(root, category, options)` lists
    the images of one of them and raises `UserError` for what is wrong inside it; `matches(root,
    options)` tells whether a folder has this layout, for `auto`. All look at names and index files
    only; the two Kolektor sets keep their labels in mask files and have those opened. `structure`
    and `source` are phrases for the message that a missing root gets; `measures` names what the
    authors of these data measure besides (`SampleTable`).
    """

    categories: Callable[[Path, Options], list[str]]
    listing: Callable[[Path, str, Options], Listing]
    matches: Callable[[Path, Options], bool]
    structure: str
    source: str
    measures: tuple[str, ...] = ()
