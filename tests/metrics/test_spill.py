from pathlib import Path

import numpy as np
import pytest
import torch

from cfa_lab.bench.metric_contestants import synthetic_maps
from cfa_lab.errors import UserError
from cfa_lab.metrics.anomaly import AnomalyMetrics
from cfa_lab.metrics.spill import is_on_disk, num_bytes, spilled


def test_spilled_chunks_hold_the_same_values_in_order(tmp_path: Path) -> None:
    chunks = [torch.arange(3.0), torch.arange(2.0) + 10, torch.arange(2, dtype=torch.float64)]
    once = spilled(chunks, folder=tmp_path)
    twice = spilled([*once, torch.full((1,), 7.0)], folder=tmp_path)
    assert torch.cat(twice).tolist() == [0, 1, 2, 10, 11, 0, 1, 7]
    assert all(is_on_disk(chunk) for chunk in twice)
    assert twice[0] is once[0]  # what is on disk stays where it is
    assert num_bytes(twice, on_disk=True) == 6 * 4 + 2 * 8
    assert num_bytes(twice, on_disk=False) == 0


def test_spilling_changes_no_result_and_bounds_memory(tmp_path: Path) -> None:
    maps, masks = synthetic_maps(32, 12, seed=0)
    limit = 3 * 32 * 32 * 4
    metrics, plain = AnomalyMetrics(spill_bytes=limit, spill_folder=tmp_path), AnomalyMetrics()
    for index in range(12):
        metrics.update(maps[index : index + 1], masks[index : index + 1])
        assert num_bytes(metrics.negatives, on_disk=False) <= limit
    plain.update(maps, masks)
    assert metrics.compute() == plain.compute()
    assert metrics.intervals(num_resamples=5) == plain.intervals(num_resamples=5)
    assert metrics.at_threshold(2.0, 1.0) == plain.at_threshold(2.0, 1.0)
    assert metrics.disk_bytes > 0 and plain.disk_bytes == 0
    assert metrics.disk_bytes + metrics.memory_bytes == plain.memory_bytes


def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    metrics = AnomalyMetrics(spill_bytes=0, spill_folder=tmp_path)
    metrics.update(np.ones((1, 4, 4)), np.eye(4)[None])
    assert metrics.disk_bytes > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose another spill_folder"):
        spilled([torch.ones(3)], folder=tmp_path / "missing")
