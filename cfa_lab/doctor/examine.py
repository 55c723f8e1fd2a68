"""Examining one category: every finding a line, in words a user can act on."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cfa_lab.data.doubts import doubts_by_name, mask_doubt, named, notes_by_name
from cfa_lab.data.geometry import Geometry, Size
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.doctor.facts import ImageFacts, MaskFacts, collect_facts
from cfa_lab.errors import UserError

LOST_SHARE = 0.01
"""Share of defect pixels outside the scored window that is worth a line."""


@dataclass(frozen=True)
class Finding:
    """`wrong`: a run would fail or its numbers would mislead; else it is good to know."""

    wrong: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Examined:
    """All that was found in one category's files."""

    findings: list[Finding]
    modes: Counter[str]
    sizes: Counter[Size]


def examine(table: SampleTable, geometry: Geometry, *, workers: int) -> Examined:
    """Open every image and mask of a category once and look for what would spoil a run."""
    samples = table.samples
    mask_paths = [mask for sample in samples for mask in sample.masks] + [*table.normal_masks]
    images, masks = collect_facts(
        [table.absolute(sample.path) for sample in samples],
        [table.absolute(path) for path in mask_paths],
        above=table.mask_above,
        workers=workers,
    )
    facts = {sample.path: fact for sample, fact in zip(samples, images, strict=True)}
    of_mask = dict(zip(mask_paths, masks, strict=True))
    good = [fact for fact in images if fact.error is None]
    findings = [
        *findings_by_name(table),
        *_unreadable([*images, *(of_mask[p] for s in samples for p in s.masks)]),
        *_images(table, facts, geometry),
        *_duplicates(samples, facts),
        *_masks(table, facts, of_mask, geometry),
    ]
    return Examined(
        findings=findings,
        modes=Counter(fact.mode for fact in good),
        sizes=Counter(fact.size for fact in good),
    )


def findings_by_name(table: SampleTable) -> list[Finding]:
    """What names alone tell."""
    return [
        *(Finding(True, line) for line in doubts_by_name(table)),
        *(Finding(False, line) for line in notes_by_name(table)),
    ]


def _unreadable(facts: Iterable[ImageFacts | MaskFacts]) -> list[Finding]:
    return [Finding(True, fact.error) for fact in facts if fact.error is not None]


def _images(
    table: SampleTable, facts: dict[str, ImageFacts], geometry: Geometry
) -> Iterator[Finding]:
    good = {path: fact for path, fact in facts.items() if fact.error is None}
    several = [path for path, fact in good.items() if fact.num_frames > 1]
    if several:
        yield Finding(
            True,
            f"{len(several)} images have several frames or pages, of which only the first is "
            f"read: {named(several)}; save each as an image of its own",
        )
    constant = [path for path, fact in good.items() if fact.is_constant]
    if constant:
        yield Finding(
            True,
            f"{len(constant)} images have one colour all over: {named(constant)}; "
            "the camera or the export failed there, so take them out",
        )
    refused: dict[Size, str] = {}
    for path, fact in good.items():
        if fact.size not in refused:
            try:
                geometry.plan(fact.size)
            except UserError as error:
                refused[fact.size] = f"{path}: {error}"
    for line in refused.values():
        yield Finding(True, line)
    modes, sizes = (
        Counter(getattr(fact, name) for fact in good.values()) for name in ("mode", "size")
    )
    of_label = [{facts[s.path].mode for s in table.samples if s.label == n} - {""} for n in (0, 1)]
    of_split = [{facts[s.path].mode for s in split} - {""} for split in (table.train, table.test)]
    apart = [pair for pair in (of_split, of_label) if all(pair) and not set.intersection(*pair)]
    if apart:
        yield Finding(
            True,
            f"{'training and test' if of_split in apart else 'normal and defect'} images have "
            f"different colour modes, {_counted(modes)}, by which a model could tell them; save "
            "all alike",
        )
    elif len(modes) > 1:
        yield Finding(False, f"colour modes are mixed: {_counted(modes)}; all become RGB")
    ratios = [width / height for height, width in sizes]
    if ratios and max(ratios) > 1.1 * min(ratios):
        hint = "; stretching distorts them, image.resize=letterbox does not"
        yield Finding(
            False,
            f"width over height goes from {min(ratios):.2f} to {max(ratios):.2f}"
            + (hint if geometry.resize == "stretch" else ""),
        )
    small = [p for p, fact in good.items() if min(fact.size) < min(geometry.input_size) / 2]
    if small:
        yield Finding(
            False,
            f"{len(small)} images have less than half the pixels a side that the network gets: "
            f"{named(small)}; a smaller image.height and image.width would be faster",
        )
    if len(table.train) < 10:
        yield Finding(
            False, f"only {len(table.train)} images to train on; results will vary with the seed"
        )


def _duplicates(samples: Sequence[Sample], facts: dict[str, ImageFacts]) -> Iterator[Finding]:
    same: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if facts[sample.path].error is None:
            same[facts[sample.path].content].append(sample)
    groups = [group for group in same.values() if len(group) > 1]
    leaks = [g for g in groups if len({s.split == "test" for s in g}) > 1]
    torn = [g for g in groups if len({s.label for s in g}) > 1 and g not in leaks]
    apart = [
        g for g in groups if {"train", "validation"} <= {s.split for s in g} and g not in leaks
    ]
    rest = [g for g in groups if g not in leaks and g not in torn and g not in apart]
    if leaks:
        yield Finding(
            True,
            f"{len(leaks)} images stand in training and in the test set: {_pairs(leaks)}; "
            "delete them from one of the two",
        )
    if apart:
        yield Finding(
            True,
            f"{len(apart)} images stand in training and in validation, so thresholds are too low: "
            f"{_pairs(apart)}; delete them from one of the two",
        )
    if torn:
        yield Finding(
            True,
            f"{len(torn)} images are called normal and defect at once: {_pairs(torn)}; "
            "delete the wrong ones",
        )
    if rest:
        yield Finding(False, f"{len(rest)} images are there twice in one split: {_pairs(rest)}")


def _masks(
    table: SampleTable,
    facts: dict[str, ImageFacts],
    masks: dict[str, MaskFacts],
    geometry: Geometry,
) -> Iterator[Finding]:
    wrong: dict[str, list[str]] = defaultdict(list)
    total = seen = 0
    for sample in table.test:
        whole = _union(sample, facts[sample.path], masks)
        for path in sample.masks:
            mask = masks[path]
            if mask.error is None and mask.is_graded and not table.mask_above:
                wrong["graded"].append(path)
        if whole is None:
            kind = _size_fault(sample, facts[sample.path], masks)
        else:
            kind = mask_doubt(whole)
            total += int(whole.sum())
            seen += _visible(whole, geometry)
        if kind is not None:
            wrong[kind].append(sample.masks[0])
    marked = [p for p in table.normal_masks if masks[p].error is None and masks[p].marks_defects]
    if marked:
        yield Finding(
            False,
            f"{len(marked)} masks of normal images are not black: {named(marked)}; a normal image "
            "counts as normal all over, so move those with a defect to the folder of its kind",
        )
    for kind, text in MASK_FAULTS.items():
        if paths := wrong[kind]:
            yield Finding(True, f"{len(paths)} {text.format(named(paths))}")
    if total and total - seen > LOST_SHARE * total:
        yield Finding(
            False,
            f"{(total - seen) / total:.0%} of the defect pixels lie outside what the network sees "
            "with these image settings; image.resize=letterbox image.crop=null leaves none out",
        )


MASK_FAULTS = {
    "size": "masks have another size than their image: {}; make them again from the image",
    "turned": "masks have height and width of their image swapped: {}; EXIF data turn one of the "
    "two, so save both upright",
    "empty": "defect images have an empty mask: {}; draw the defect or take the mask out",
    "inverted": "masks cover most of their image and its rim, as if inverted: {}; defect has to be "
    "above 0, normal 0",
    "graded": "masks have grey levels, and all above 0 count as defect: {}; save them with two "
    "values, without smoothing",
}


def _union(sample: Sample, image: ImageFacts, masks: dict[str, MaskFacts]) -> np.ndarray | None:
    """An image's masks in one, (H, W) bool; None without masks, or where they do not fit."""
    found = [masks[path] for path in sample.masks]
    if not found or image.error or any(m.error or m.size != image.size for m in found):
        return None
    return np.logical_or.reduce([mask.unpacked() for mask in found])


def _size_fault(sample: Sample, image: ImageFacts, masks: dict[str, MaskFacts]) -> str | None:
    sizes = {masks[path].size for path in sample.masks if masks[path].error is None}
    if image.error or not sizes - {image.size}:
        return None
    return "turned" if image.size[::-1] in sizes else "size"


def _visible(mask: np.ndarray, geometry: Geometry) -> int:
    try:
        top, left, height, width = geometry.plan((mask.shape[0], mask.shape[1])).placement.window
    except UserError:
        return 0
    return int(mask[top : top + height, left : left + width].sum())


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _pairs(groups: Sequence[Sequence[Sample]]) -> str:
    return named([" = ".join(sample.path for sample in group[:2]) for group in groups])
