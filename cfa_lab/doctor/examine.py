"""Examining one category: every finding a line, in words a user can act on."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from cfa_lab.data.depth_found import FoundDepth
from cfa_lab.data.doubts import doubts_by_name, notes_by_name
from cfa_lab.data.geometry import Geometry, Size
from cfa_lab.data.samples import SampleTable
from cfa_lab.doctor.duplicates import duplicates
from cfa_lab.doctor.facts import ImageFacts, MaskFacts, collect_facts
from cfa_lab.doctor.finding import Finding
from cfa_lab.doctor.image_findings import about_depth, about_images
from cfa_lab.doctor.mask_findings import about_masks
from cfa_lab.doctor.near import near_duplicates


@dataclass(frozen=True, kw_only=True)
class Examined:
    """All that was found in one category's files."""

    findings: list[Finding]
    modes: Counter[str]
    sizes: Counter[Size]


def examine(
    table: SampleTable, geometry: Geometry, depth: FoundDepth | None, *, workers: int
) -> Examined:
    """Open every image and mask of a category once and look for what would spoil a run.

    `depth` is None where it cannot be told.
    """
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
        *(about_depth(facts, depth) if depth else ()),
        *about_images(table, facts, geometry),
        *duplicates(samples, facts),
        *near_duplicates(samples, facts),
        *about_masks(table, facts, of_mask, geometry),
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
