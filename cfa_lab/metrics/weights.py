"""Test sets that might have been: the images with random weights, and images that none of them is.

The Bayesian bootstrap (Rubin 1981). With weights of images alone no draw knows of a defect that is
missed where all of them are found. Jeffreys' interval for a share adds half a success and half a
failure; likewise half an image that is wholly missed and half a one wholly found are added here.
"""

from collections.abc import Sequence

import numpy as np

from cfa_lab.metrics.jackknife import NUM_UNSEEN, Influence, LeftOut

Halves = tuple[float, float]
"""Images' worth of each unseen one, of normal and of defect images."""


def drawn_times(labels: np.ndarray, halves: Halves, *, num: int, seed: int) -> np.ndarray:
    """How much each image and each unseen one counts (num, n + 4), as many of a class as there are.

    Weights are as uneven as makes a mean vary like its unbiased variance.
    """
    generator = np.random.default_rng(seed)
    times = np.zeros((num, labels.size + NUM_UNSEEN))
    for label, half in enumerate(halves):
        members = np.flatnonzero(labels == label)
        unseen = labels.size + 2 * label + np.arange(2)
        evenness = max(members.size - 2, 1) / members.size
        times[:, members] = generator.standard_gamma(evenness, (num, members.size))
        times[:, unseen] = generator.standard_gamma(half, (num, 2))
        total = times[:, [*members, *unseen]].sum(axis=1, keepdims=True)
        times[:, [*members, *unseen]] *= members.size / total
    return times


def drawn_changes(
    influences: Sequence[dict[int, Influence]],
    left_out: LeftOut,
    halves: Halves,
    *,
    num: int,
    seed: int,
    stretched: bool = False,
) -> np.ndarray:
    """What weights change in each metric, to first order (metrics, num).

    `stretched`: where the images chose a threshold too, they say still less of how they vary.
    """
    generator = np.random.default_rng(seed)
    total = np.zeros((len(influences), num))
    for label in influences[0] if influences else ():
        size = len(left_out.groups[label])
        half = halves[label] * size / left_out.num_images[label]
        weights = generator.standard_gamma(1, (size, num))
        unseen = generator.standard_gamma(half, (2, num))
        stretch = (size + 1) / (size - 1) if stretched else 1.0
        gained = stretch * np.stack([found[label].groups for found in influences]) @ weights
        gained += np.stack([found[label].unseen for found in influences]) @ unseen
        total += gained / (weights.sum(axis=0) + unseen.sum(axis=0))
    return total
