import pytest
import torch

from cfa_lab.method.pyramid import coordinates, pool, upsample


def test_pooling_counts_the_zeros_beyond_the_border():
    pooled = pool(torch.ones(1, 1, 3, 4))
    expected = torch.tensor([[4, 6, 6, 4], [6, 9, 9, 6], [4, 6, 6, 4]]) / 9
    torch.testing.assert_close(pooled[0, 0], expected)


def test_coordinates_run_from_minus_one_to_one_rows_first():
    rows, columns = coordinates(3, 2, dtype=torch.float64)
    assert rows.tolist() == [[-1, -1], [0, 0], [1, 1]]
    assert columns.tolist() == [[-1, 1], [-1, 1], [-1, 1]]


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1)])
def test_a_single_row_or_column_is_in_the_middle(size):
    values = coordinates(*size, dtype=torch.float32)
    assert values.isfinite().all()
    assert not values[0 if size[0] == 1 else 1].any()


def test_upsampling_keeps_constants_and_equal_sizes():
    level = torch.full((1, 2, 3, 5), 0.7)
    torch.testing.assert_close(upsample(level, (12, 20)), torch.full((1, 2, 12, 20), 0.7))
    assert upsample(level, (3, 5)) is level
