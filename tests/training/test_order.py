import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cfa_lab.training.order import seeded_batches


@given(
    n=st.integers(1, 60),
    size=st.integers(1, 9),
    seed=st.integers(0, 1000),
    epoch=st.integers(-1, 9),
)
def test_an_epoch_shows_every_image_once_but_for_a_dropped_rest(n, size, seed, epoch):
    whole = seeded_batches(n, size, drop_last=False, seed=seed, epoch=epoch)
    cut = seeded_batches(n, size, drop_last=True, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(whole).tolist()) == list(range(n))
    effective = min(size, n)
    assert all(len(batch) == effective for batch in cut)
    assert len(cut) == n // effective
    for a, b in zip(cut, whole, strict=False):
        assert np.array_equal(a, b)


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {
        tuple(seeded_batches(50, 50, drop_last=False, seed=seed, epoch=epoch)[0].tolist())
        for seed in range(3)
        for epoch in range(-1, 3)
    }
    assert len(orders) == 12
