"""The sample table: what every folder layout becomes, and all that later code knows of it."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path

from cfa_lab.data.saturation import Saturation
from cfa_lab.errors import UserError

GOOD = "good"

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a data set, described without opening it.

    `path` and `masks` are relative to the table's root, with `/`. `split` is "train", "validation"
    or "test", `label` 0 (normal) or 1 (defect), `defect` the kind of defect, "good" for a normal
    image. A defect image without a mask has `masks=()`; several masks are several defects of one
    image. `group` names what a split must not tear apart (an item photographed more than once).
    """

    path: str
    split: str
    label: int
    defect: str
    masks: tuple[str, ...] = ()
    group: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Files of one folder that take no part in anything: how many have this suffix."""

    folder: str
    suffix: str
    num_files: int


@dataclass(frozen=True)
class SampleTable:
    """The images of one category, sorted by path.

    `layout` and `split_rule` say how the folder was read and who divided it; `drawn` tells that the
    division is not the data set's own. A mask is defect where its values are above `mask_above`;
    `unused_masks` are mask files that belong to no image, `normal_masks` those of normal images,
    which no run opens; `masks_in` says where masks were looked for, and `left_out` what lies beside
    the images and is none of all these. `twins` are normal images of the same pixels, each with
    the first of them, that were kept together. `measures` names what the data set's
    authors measure besides: "spro" or "seg_f1"; `saturation` is there for the former, None where
    the data set comes without. Raises `UserError` for a path that leaves the root, is listed twice
    or is no valid text, and for a split or a label that is none.
    """

    root: Path
    category: str
    samples: tuple[Sample, ...]
    layout: str = ""
    split_rule: str = "the data set's own"
    drawn: bool = False
    mask_above: int = 0
    unused_masks: tuple[str, ...] = ()
    normal_masks: tuple[str, ...] = ()
    masks_in: str = ""
    left_out: tuple[LeftOut, ...] = ()
    twins: tuple[tuple[str, str], ...] = ()
    measures: tuple[str, ...] = ()
    saturation: Mapping[int, Saturation] | None = None

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.samples, key=attrgetter("path")))
        _check(ordered, self.root)
        object.__setattr__(self, "samples", ordered)

    @cached_property
    def train(self) -> tuple[Sample, ...]:
        """The training images."""
        return tuple(sample for sample in self.samples if sample.split == "train")

    @cached_property
    def validation(self) -> tuple[Sample, ...]:
        """Normal images held out of training, to set thresholds."""
        return tuple(sample for sample in self.samples if sample.split == "validation")

    @cached_property
    def test(self) -> tuple[Sample, ...]:
        """The test images."""
        return tuple(sample for sample in self.samples if sample.split == "test")

    def absolute(self, path: str) -> Path:
        """Where a sample's image or mask lies on disk."""
        return self.root / path

    def limit_train(self, n: int | None, seed: int) -> "SampleTable":
        """The same table with at most `n` training images, drawn by `seed`; None keeps them all.

        Draws of one seed are nested: the images of a smaller `n` are among those of a larger one,
        so a curve over `n` adds images and never swaps them.
        """
        if n is None:
            return self
        if n < 1:
            raise UserError(
                f"dataset.limit_train={n} leaves no training image; give 1 or more, or null for all"
            )
        drawn = list(self.train)
        random.Random(seed).shuffle(drawn)
        kept = {sample.path for sample in drawn[:n]}
        return replace(
            self,
            samples=tuple(s for s in self.samples if s.split != "train" or s.path in kept),
        )

    def with_twins_grouped(self, content: Mapping[str, str]) -> "SampleTable":
        """The same table with training images of one `content`, a hash by path, in one group.

        Their groups become one, named by the first. What is found is added to `twins`.
        """
        name_of: dict[str, str] = {}  # group or content -> the group it is part of
        twins: list[tuple[str, str]] = []
        first: dict[str, str] = {}
        for sample in self.train:
            name = name_of.setdefault(_own_group(sample), _own_group(sample))
            if (same := content.get(sample.path)) is None:
                continue
            if same in first:
                twins.append((first[same], sample.path))
            first.setdefault(same, sample.path)
            other = name_of.setdefault(f"content {same}", name)
            if other != name:  # the two groups become one
                name_of |= {k: other for k, v in name_of.items() if v == name}
        if not twins:
            return self
        return replace(
            self,
            samples=tuple(
                replace(s, group=name)
                if s.split == "train" and (name := name_of[_own_group(s)]) != s.path
                else s
                for s in self.samples
            ),
            twins=(*self.twins, *twins),
        )

    def hold_out(
        self, fraction: float, seed: int, content: Mapping[str, str] | None = None
    ) -> "SampleTable":
        """The same table with a seeded part of the training images moved to the split "validation".

        Whole groups move, where samples have one, until the part is at least `fraction` of the
        images; so do images of one `content`, a hash by path, with their groups: a threshold from
        an image that was trained on would be too low. Raises `UserError` where that leaves no image
        to train on or none to validate.
        """
        if fraction == 0:
            return self
        table = self.with_twins_grouped(content or {})
        groups: dict[str, list[Sample]] = {}
        for sample in table.train:
            groups.setdefault(_own_group(sample), []).append(sample)
        order = sorted(groups)
        random.Random(seed).shuffle(order)
        held: set[str] = set()
        for name in order:
            if len(held) >= fraction * len(self.train):
                break
            held.update(sample.path for sample in groups[name])
        if not held or len(held) == len(self.train):
            rest = len(self.train) - len(held)
            raise UserError(
                f"dataset.validation_fraction={fraction} leaves {rest} of {len(self.train)} "
                f"training images of {self.category!r} to train on and {len(held)} to validate; "
                "both need at least 1"
            )
        return replace(
            table,
            samples=tuple(
                replace(s, split="validation") if s.path in held else s for s in table.samples
            ),
        )


def _own_group(sample: Sample) -> str:
    return sample.group or sample.path


def _check(ordered: Iterable[Sample], root: Path) -> None:
    seen: dict[str, str] = {}
    for sample in ordered:
        for path in (sample.path, *sample.masks):
            if path.startswith("/") or ".." in path.split("/"):
                raise UserError(
                    f"path {path!r} leaves the data set's root {root}; list paths inside the root"
                )
            # Bytes that are no UTF-8 arrive as lone surrogates and would only fail when results are
            # written, after training.
            if not path.isascii() and path.encode(errors="replace").decode() != path:
                raise UserError(f"file name {path!r} is not valid UTF-8; rename the file")
        if sample.split not in SPLITS or sample.label not in (0, 1):
            raise UserError(
                f"image {sample.path!r} has split {sample.split!r} and label {sample.label!r}; "
                f"allowed: {', '.join(SPLITS)}, and 0 (normal) or 1 (defect)"
            )
        file = "/".join(part for part in sample.path.split("/") if part not in ("", "."))
        if (before := seen.get(file)) is not None:
            also = "" if before == sample.path else f", also as {before!r}"
            raise UserError(
                f"image {sample.path!r} is listed twice under {root}{also}; list it once"
            )
        seen[file] = sample.path
