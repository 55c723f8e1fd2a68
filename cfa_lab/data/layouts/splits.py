"""Dividing the images of a data set that brings no split, by group and from a seed."""

import random
from collections import defaultdict
from collections.abc import Collection, Mapping


def draw_test(
    group_of: Mapping[str, str], *, fraction: float, seed: int, tested: Collection[str] = ()
) -> set[str]:
    """The normal images to test on, of those in `group_of` (image -> group).

    Whole groups are drawn until they hold at least `fraction` of the images; groups in `tested`
    (those with a defect image) come first and always. One group stays for training at least, unless
    all are in `tested`.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for image, group in group_of.items():
        members[group].append(image)
    drawn = {image for group in tested for image in members.pop(group, ())}
    order = sorted(members)
    random.Random(seed).shuffle(order)
    for group in order[:-1]:
        if len(drawn) >= fraction * len(group_of):
            break
        drawn.update(members[group])
    return drawn


def drawn_rule(fraction: float, seed: int, groups: str = "") -> str:
    """A drawn split in words, for the run's record."""
    by = f", whole {groups} at a time" if groups else ""
    return f"drawn here: {fraction:g} of the normal images to test on, seed {seed}{by}"
