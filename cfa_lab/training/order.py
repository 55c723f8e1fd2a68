"""The order in which training images are seen: it follows from seed and epoch alone."""

from collections.abc import Sequence

import numpy as np

from cfa_lab.config import Settings

Batches = Sequence[np.ndarray]
"""Image indices, one array a batch."""

BANK_EPOCH = -1
"""Number of the pass that builds the memory bank, before epoch 0."""


def seeded_batches(
    num_images: int, batch_size: int, *, drop_last: bool, seed: int, epoch: int
) -> Batches:
    """A shuffled epoch of image indices. The order depends on seed and epoch alone.

    So an interrupted run needs no generator state to go on. Epoch BANK_EPOCH is the pass that
    builds the memory bank. Batches are min(batch_size, num_images) long; `drop_last` leaves the
    rest out.
    """
    size = min(batch_size, num_images)
    order = np.random.default_rng([seed, epoch + 1]).permutation(num_images)
    stop = num_images - num_images % size if drop_last else num_images
    return [order[start : start + size] for start in range(0, stop, size)]


def epoch_order(settings: Settings, num_images: int, *, seed: int, epoch: int) -> Batches:
    """The batches of an epoch of steps."""
    trainer = settings.trainer
    return seeded_batches(
        num_images, trainer.batch_size, drop_last=trainer.drop_last, seed=seed, epoch=epoch
    )


def bank_order(settings: Settings, num_images: int, *, seed: int) -> Batches:
    """The batches that make the memory bank: seeded, as an epoch's (authors' code).

    Where the descriptor is solved for, every image by itself as it stands, so that no seed enters.
    """
    if settings.optimizer.name == "closed_form":
        return single_images(num_images)
    return epoch_order(settings, num_images, seed=seed, epoch=BANK_EPOCH)


def single_images(num_images: int) -> Batches:
    """Every image once, one at a time, in the order they stand in."""
    return list(np.arange(num_images).reshape(-1, 1))
