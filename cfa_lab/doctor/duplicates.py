"""Images that stand in a data set more than once."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from cfa_lab.data.doubts import named
from cfa_lab.data.samples import Sample
from cfa_lab.doctor.facts import ImageFacts
from cfa_lab.doctor.finding import Finding


def duplicates(samples: Sequence[Sample], facts: dict[str, ImageFacts]) -> Iterator[Finding]:
    """What images of the same pixels spoil."""
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
            f"{len(leaks)} images stand in training and in the test set: "
            f"{_pairs(leaks, lambda s: s.split == 'test')}; delete them from one of the two",
        )
    if apart:
        yield Finding(
            True,
            f"{len(apart)} images stand in training and in validation, so thresholds are too low: "
            f"{_pairs(apart, lambda s: s.split)}; delete them from one of the two",
        )
    if torn:
        yield Finding(
            True,
            f"{len(torn)} images are called normal and defect at once: "
            f"{_pairs(torn, lambda s: s.label)}; delete the wrong ones",
        )
    if rest:
        yield Finding(False, f"{len(rest)} images are there twice in one split: {_pairs(rest)}")


def _pairs(
    groups: Sequence[Sequence[Sample]], by: Callable[[Sample], object] = lambda sample: sample.path
) -> str:
    """Of each group the first image and the first that differs from it in what is wrong."""
    pairs = []
    for first, *others in groups:
        other = next(sample for sample in others if by(sample) != by(first))
        pairs.append(f"{first.path} = {other.path}")
    return named(pairs)
