import math

import pytest
import torch

from cfa_lab.method.loss import HypersphereLoss
from cfa_lab.method.repulsion import sqrt_alpha
from cfa_lab.vocabulary import ALPHA_SIGNS, NEGATIVES


@pytest.mark.parametrize("J", [0, 2])
@pytest.mark.parametrize("alpha", [0.0, 0.25])
@pytest.mark.parametrize("alpha_sign", ALPHA_SIGNS)
@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("squared", [True, False])
def test_repulsion_begins_where_r_passes_the_limit(J, alpha, alpha_sign, negatives, squared):
    """Negatives at distance 0 are the first that any radius reaches."""
    loss = HypersphereLoss(
        K=2, J=J, alpha=alpha, nu=1.0, negatives=negatives, alpha_sign=alpha_sign, squared=squared
    )
    nearest = torch.zeros(5, loss.num_neighbours)
    limit = sqrt_alpha(J=J, alpha=alpha, alpha_sign=alpha_sign)
    assert (limit is None) == (J == 0 or alpha_sign == "plus")
    at, beyond = torch.tensor(limit or 0.0), torch.tensor((limit or 0.0) + 0.125)
    assert float(loss(nearest, beyond).active_repulsion) == (J > 0)
    if limit is not None:
        assert limit == math.sqrt(alpha)
        assert float(loss(nearest, at).repulsion) == 0
        assert loss.num_felt(at) == loss.K
    assert loss.num_felt(beyond) == loss.num_neighbours
