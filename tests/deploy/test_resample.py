import numpy as np
import pytest
import torch
from torch.nn import functional

from cfa_lab.data.geometry import Placement
from cfa_lab.deploy.resample import content, resize, to_window
from cfa_lab.evaluation.maps import to_window as torch_to_window

SIZES = [(7, 5), (1, 1), (64, 48), (224, 224)]


@pytest.mark.parametrize("before", SIZES)
@pytest.mark.parametrize("after", [(1, 3), (7, 5), (31, 100), (700, 899)])
def test_resizing_is_that_of_torch(before, after):
    values = np.random.default_rng(0).normal(5, 1, before).astype(np.float32)
    judge = functional.interpolate(
        torch.from_numpy(values)[None, None], size=after, mode="bilinear", align_corners=False
    )[0, 0].numpy()
    found = resize(values, after)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, judge, rtol=1e-5)  # torch 2.9 rounds its weights


def test_a_map_goes_to_its_window_as_in_a_run():
    values = np.random.default_rng(0).random((32, 48), dtype=np.float32)
    placement = Placement(original=(90, 70), window=(0, 5, 90, 60), content=(0, 8, 32, 30))
    judge = torch_to_window(torch.from_numpy(values)[None], placement)[0].numpy()
    np.testing.assert_allclose(to_window(values, placement), judge, rtol=1e-6)
    assert content(values, placement).shape == (32, 30)
