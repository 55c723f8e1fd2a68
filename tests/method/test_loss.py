import pytest
import torch

from cfa_lab import reference
from cfa_lab.errors import UserError
from cfa_lab.method.loss import HypersphereLoss, safe_sqrt
from cfa_lab.method.neighbours import NeighbourSearch


def literal(squared: torch.Tensor, r: float, loss: HypersphereLoss) -> tuple[float, float]:
    """Both terms pair by pair in plain Python."""
    attraction, repulsion = [], []
    for row in squared.tolist():
        distances = row if loss.squared else [value**0.5 for value in row]
        alpha = loss.alpha if loss.alpha_sign == "minus" else -loss.alpha
        first = loss.K if loss.negatives == "after_k" else loss.J
        attraction += [max(0, d - r * r) for d in distances[: loss.K]]
        if loss.J:
            repulsion += [max(0, r * r - d - alpha) for d in distances[first : loss.K + loss.J]]
    mean = [sum(term) / len(term) / loss.nu if term else 0.0 for term in (attraction, repulsion)]
    return mean[0], mean[1]


@pytest.mark.parametrize("K, J", [(3, 3), (3, 1), (3, 5), (1, 3), (1, 1), (2, 0)])
@pytest.mark.parametrize("negatives", ["after_k", "from_j"])
@pytest.mark.parametrize("alpha_sign", ["minus", "plus"])
@pytest.mark.parametrize("squared", [True, False])
def test_matches_a_naive_loop(K, J, negatives, alpha_sign, squared, dtype):
    loss = HypersphereLoss(
        K=K, J=J, alpha=0.1, nu=1e-3, negatives=negatives, alpha_sign=alpha_sign, squared=squared
    )
    distances = torch.rand(40, K + J, dtype=dtype).sort(dim=1).values
    radius = torch.tensor(0.6, dtype=dtype)
    terms = loss(distances, radius)
    attraction, repulsion = literal(distances, float(radius), loss)
    assert float(terms.attraction) == pytest.approx(attraction, rel=1e-5)
    assert float(terms.repulsion) == pytest.approx(repulsion, rel=1e-5, abs=1e-4)
    assert float(terms.total) == pytest.approx(attraction + repulsion, rel=1e-5)


@pytest.mark.parametrize("K, J", [(3, 3), (3, 1), (1, 3)])
@pytest.mark.parametrize("negatives", ["after_k", "from_j"])
def test_loss_and_gradients_agree_with_the_dense_reference(K, J, negatives, dtype):
    torch.manual_seed(0)
    bank = torch.randn(20, 6, dtype=dtype)
    phi = torch.randn(2, 15, 6, dtype=dtype, requires_grad=True)
    r = torch.tensor(2.0, dtype=dtype, requires_grad=True)
    dense_phi, dense_r = (value.detach().clone().requires_grad_() for value in (phi, r))

    loss = HypersphereLoss(K=K, J=J, alpha=0.1, nu=1e-3, negatives=negatives)
    terms = loss(NeighbourSearch(bank).squared_distances(phi.flatten(0, 1), K + J), r)
    dense = reference.loss_terms(dense_phi, bank, dense_r, K=K, J=J, negatives=negatives)
    torch.testing.assert_close(terms.attraction, dense[0])
    torch.testing.assert_close(terms.repulsion, dense[1])
    assert bool(terms.repulsion > 0)

    terms.total.backward()
    (dense[0] + dense[1]).backward()
    torch.testing.assert_close(phi.grad, dense_phi.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(r.grad, dense_r.grad, rtol=1e-4, atol=1e-4)


def test_active_fractions_count_pairs():
    loss = HypersphereLoss(K=2, J=2, alpha=0.1, nu=1.0)
    terms = loss(torch.tensor([[0.1, 0.5, 0.6, 2.0]]), torch.tensor(1.0))
    assert float(terms.active_attraction) == 0
    assert float(terms.active_repulsion) == 0.5


def test_a_tiny_fixed_radius_never_repels():
    """The published setting: r^2 is below alpha, so no pair can be repelled."""
    loss = HypersphereLoss(K=3, J=3, alpha=0.1, nu=1e-3)
    terms = loss(torch.rand(100, 6).sort(dim=1).values, torch.tensor(1e-5))
    assert float(terms.repulsion) == 0
    assert float(terms.active_repulsion) == 0


def test_no_repulsion_still_backpropagates():
    distances = torch.rand(4, 2, requires_grad=True)
    radius = torch.tensor(0.1, requires_grad=True)
    HypersphereLoss(K=2, J=0, alpha=0.1, nu=1.0)(distances, radius).total.backward()
    assert distances.grad is not None
    assert radius.grad is not None


def test_plain_distances_have_a_finite_gradient_at_zero():
    value = torch.zeros(3, requires_grad=True)
    safe_sqrt(value).sum().backward()
    assert value.grad is not None
    assert not value.grad.any()


def test_the_wrong_number_of_distances_is_refused():
    with pytest.raises(UserError, match="K=3 and J=3 need 6"):
        HypersphereLoss(K=3, J=3, alpha=0.1, nu=1.0)(torch.rand(4, 5), torch.tensor(1.0))
