"""Deliberately wrong exports do not pass the gate, and what it measures is what it says."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.exports import SUFFIXES, make_runtime

from cfa_lab.data.geometry import Geometry, Placement
from cfa_lab.deploy import exporting
from cfa_lab.deploy.exporting import export
from cfa_lab.deploy.gate import BOUND, Parity, compare, max_of, refuse
from cfa_lab.deploy.graph.patches import PatchScores
from cfa_lab.deploy.run_data import load_some, table_of_run
from cfa_lab.deploy.runtime import Scored
from cfa_lab.deploy.runtime_torch import load_run
from cfa_lab.errors import UserError
from cfa_lab.method.pyramid import coordinates, upsample


def refused(tmp_path, runtime, kind="onnx"):
    """The gate lets this export not pass, and leaves nothing."""
    with pytest.raises(UserError, match=rf"the {kind} export does not score as its model"):
        export(runtime, tmp_path, tmp_path / f"model{SUFFIXES[kind]}", kind=kind)
    return not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_wrong_number_of_neighbours_is_refused(tmp_path, monkeypatch):
    runtime = make_runtime()
    graph = exporting.graph_of(runtime)
    graph.patches.scoring = make_runtime(scoring={"num_neighbours": 2}).detector.scoring
    monkeypatch.setattr(exporting, "graph_of", lambda runtime: graph)
    assert refused(tmp_path, runtime)


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.cpu._is_amx_tile_supported(), reason="OpenVINO takes bf16 with AMX only"
)
def test_bf16_is_refused_where_float32_is_promised(tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.OPENVINO_HINTS, "float32", "bf16")
    assert refused(tmp_path, make_runtime(), "openvino")


def uncentred(self, detector, sizes):
    """`PatchScores` as one would write it first: |phi|^2 + |c|^2 - 2 phi.c."""
    torch.nn.Module.__init__(self)
    self.grid, self.detector, self.scoring = sizes[0], detector, detector.scoring


def uncentred_forward(self, levels):
    descriptor = self.detector.descriptor
    fine = [upsample(level, self.grid) for level in levels]
    position = coordinates(*self.grid, dtype=torch.float32).expand(fine[0].shape[0], -1, -1, -1)
    columns = torch.cat([*fine, position], 1).flatten(2).mT
    phi = (columns @ descriptor.weight.T + descriptor.bias).bfloat16()
    bank = self.detector.bank.bfloat16()
    squared = phi.square().sum(-1, keepdim=True) + bank.square().sum(1) - 2 * phi @ bank.T
    nearest = squared.float().relu().topk(self.scoring.num_neighbours, largest=False).values
    return self.scoring.patch_scores(nearest).unflatten(1, self.grid)


def test_uncentred_distances_in_bf16_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(PatchScores, "__init__", uncentred)
    monkeypatch.setattr(PatchScores, "forward", uncentred_forward)
    assert refused(tmp_path, make_runtime(offset=8.0), "torch")


def test_images_resized_otherwise_are_refused(tiny_run):
    """What dropping `antialias` does: the same photograph, other pixels."""
    runtime = load_run(tiny_run)
    table = table_of_run(tiny_run)
    assert table is not None
    sharp = Geometry(**{**vars(runtime.description.image), "interpolation": "bilinear"})
    images = load_some(table, table.test, runtime.description.image, 6)
    others = load_some(table, table.test, sharp, 6)

    places = {id(one): i for i, one in enumerate(images)}
    other: Any = SimpleNamespace(
        score=lambda asked: runtime.score([others[places[id(one)]] for one in asked])
    )
    with pytest.raises(UserError, match="does not score as its model"):
        refuse(compare(runtime, other, images), "it")


def fixed(*values: tuple[float, list[float]]) -> Any:
    """A runtime that gives these scores and maps, whatever it is shown."""
    box = Placement((1, 2), (0, 0, 1, 2), (0, 0, 1, 2))
    results = [Scored(score, np.array([row], dtype=np.float32), box) for score, row in values]
    return SimpleNamespace(batch_size=2, score=lambda numbers: [results[i] for i in numbers])


def test_the_gate_measures_what_it_says():
    numbers: Any = [0, 1, 2]
    one = fixed((2.0, [2, 1]), (1e-3, [1e-3, 0]), (4.0, [4, 0]))
    assert compare(one, one, numbers) == Parity(0, 0, 3)
    other = fixed((2.2, [2, 1]), (1e-3, [1e-3, 0.02]), (4.0, [4, 1]))
    found = compare(one, other, numbers)
    assert found.scores == pytest.approx(0.1)  # of the image's own score
    assert found.maps == pytest.approx(0.5)  # 0.02 of 1 % of 4
    nothing = fixed((0.0, [0, 0]))
    assert compare(nothing, nothing, numbers[:1]) == Parity(0, 0, 1)
    assert compare(nothing, fixed((0.1, [0, 0])), numbers[:1]).scores == np.inf
    assert max_of([Parity(1, 2, 3), Parity(2, 1, 1)]) == Parity(2, 2, 4)


def test_what_is_over_the_bound_or_no_number_is_refused():
    refuse(Parity(BOUND, BOUND, 1), "it")
    for parity in (Parity(2 * BOUND, 0, 1), Parity(0, 2 * BOUND, 1), Parity(0, float("nan"), 1)):
        with pytest.raises(UserError, match=r"it does not score as its model.*nothing is kept"):
            refuse(parity, "it")
