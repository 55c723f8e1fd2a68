"""What each image adds to a metric, to first order: from leaving it out or adding it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MOST_GROUPS = 100
"""Groups of images left out in turn, of each class; of more images each group has several."""
NUM_UNSEEN = 4
"""Images that none of the test set is: see `ImageCounts.with_unseen`, two of each class."""


@dataclass(frozen=True)
class Influence:
    """What the groups of a class (g,) and its unseen images (2,) add to a metric, a mean of 0.

    `bias` is how much higher the metric is for these images than for all, as leaving out tells.
    """

    groups: np.ndarray
    unseen: np.ndarray
    bias: float


@dataclass(frozen=True)
class LeftOut:
    """Groups of images to leave out in turn, and how many images there are, of each class.

    Class 0 is normal, 1 defect; a group holds the places of its images among `num_all`.
    """

    groups: Mapping[int, list[np.ndarray]]
    num_images: Mapping[int, int]
    num_all: int

    def times(self) -> np.ndarray:
        """How often the images and the unseen ones count (1 + g + 4, num_all + 4).

        All images once; then with each group left out; then with each unseen image added.
        """
        groups = [*self.groups[0], *self.groups[1]]
        times = np.zeros((1 + len(groups) + NUM_UNSEEN, self.num_all + NUM_UNSEEN))
        times[:, : self.num_all] = 1
        for row, group in enumerate(groups, start=1):
            times[row, group] = 0
        times[-NUM_UNSEEN:, -NUM_UNSEEN:] = np.eye(NUM_UNSEEN)
        return times

    def influences(self, values: np.ndarray) -> dict[int, Influence]:
        """From a metric's values at `times`: of each class that has images."""
        changes = values - values[0]
        found, start = {}, 1
        for label, groups in self.groups.items():
            left, start = changes[start : start + len(groups)], start + len(groups)
            if groups:
                gained = -(left.size - 1) * left
                unseen = changes[-NUM_UNSEEN:][2 * label : 2 * label + 2]
                unseen = (self.num_images[label] + 1) * unseen
                mean = float(gained.mean())
                found[label] = Influence(gained - mean, unseen - mean, -mean)
        return found


def leave_out(labels: np.ndarray, counts_at_all: np.ndarray) -> LeftOut | str:
    """Every image of `counts_at_all` (n,) left out in turn, or why that says nothing.

    An image that has no part in a metric (no mask) is no image of it.
    """
    groups, num_images = {}, {}
    for label, word in ((0, "normal"), (1, "defect")):
        members = np.flatnonzero((labels == label) & counts_at_all)
        if members.size == 1:
            return f"one {word} image: nothing says how much such images vary"
        num_images[label] = members.size
        num_groups = min(members.size, MOST_GROUPS)
        groups[label] = [members[start::num_groups] for start in range(num_groups)]
    return LeftOut(groups, num_images, labels.size)
