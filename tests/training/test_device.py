"""A fit on another device is the CPU's: solved in one pass, and what it scores."""

import pytest
import torch
from helpers.tiny import make_pyramid

from cfa_lab import fit_pyramid, reference
from cfa_lab.method.coreset import k_centre
from cfa_lab.method.neighbours import NeighbourSearch

LEVELS = make_pyramid(6, (16, 24, 20), (16, 12))


def relative(value: torch.Tensor, judge: torch.Tensor) -> float:
    return float((value.cpu() - judge.cpu()).abs().max() / judge.abs().max())


@pytest.mark.gpu
@pytest.mark.parametrize("preset", ["lab", "official"])
def test_a_fit_there_is_that_of_the_cpu(preset):
    arguments = {"preset": preset, "epochs": 2} if preset == "official" else {"preset": preset}
    (there, _), (here, _) = (fit_pyramid(LEVELS, device=d, **arguments) for d in ("cuda", "cpu"))
    assert relative(there.descriptor.weight, here.descriptor.weight) < 1e-4
    assert relative(there.score([x.cuda() for x in LEVELS]), here.score(LEVELS)) < 1e-4


@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.parametrize("shape", [(64, 40), (300, 448), (3, 5)])
def test_neighbours_are_those_of_all_distances(device, shape, k):
    if k > shape[0]:
        pytest.skip("more neighbours than entries")
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(shape, generator=generator) + 3
    queries = torch.randn(200, shape[1], generator=generator) + 3
    found = NeighbourSearch(bank.to(device)).nearest(queries.to(device), k)
    squared = torch.cdist(queries.double(), bank.double()).square()
    expected = squared.topk(k, largest=False)
    assert torch.equal(found.indices.cpu().long(), expected.indices)
    torch.testing.assert_close(
        found.squared_distances.cpu().double(), expected.values, rtol=1e-5, atol=0
    )


def test_the_coreset_is_that_of_the_plain_loop(device):
    patches = torch.randn(200, 40, generator=torch.Generator().manual_seed(0))
    assert k_centre(patches.to(device), 60).tolist() == reference.k_centre(patches, 60)
