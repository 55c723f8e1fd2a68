"""Hypersphere diagnostics against literal counts, and what a run leaves and tells of them."""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from cfa_lab.data.geometry import Geometry, Placement
from cfa_lab.data.samples import Sample
from cfa_lab.evaluation import diagnostics
from cfa_lab.evaluation.evaluate import sample_mask
from cfa_lab.features.extract import Extractor
from cfa_lab.records import names
from cfa_lab.records.diagnostics import scalars
from cfa_lab.run.prepare import make_extractor
from cfa_lab.run.run import run
from cfa_lab.run.tables import read_table
from cfa_lab.training.model_files import load_detector

GEOMETRIES = {
    "stretch": Geometry(resize="stretch", height=64, width=96),
    "letterbox": Geometry(resize="letterbox", height=64, width=64),
    "crop": Geometry(resize="shorter_side", height=48, width=48, size=64),
}


def literal_cells(
    mask: np.ndarray, placement: Placement, grid: tuple[int, int], input_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Cell by cell and pixel by pixel in exact fractions."""
    shown, overlapping = np.zeros(grid, dtype=bool), np.zeros(grid, dtype=bool)

    def interval(axis: int, cell: int) -> tuple[Fraction, Fraction]:
        start, size = placement.content[axis], placement.content[axis + 2]
        edges = [Fraction((cell + side) * input_size[axis], grid[axis]) - start for side in (0, 1)]
        low, high = (min(max(edge, Fraction(0)), Fraction(size)) / size for edge in edges)
        scale, first = placement.window[axis + 2], placement.window[axis]
        return first + low * scale, first + high * scale

    for i in range(grid[0]):
        for j in range(grid[1]):
            (top, bottom), (left, right) = interval(0, i), interval(1, j)
            shown[i, j] = top < bottom and left < right
            overlapping[i, j] = shown[i, j] and any(
                top < y + 1 and y < bottom and left < x + 1 and x < right
                for y, x in zip(*mask.nonzero(), strict=True)
            )
    return shown, overlapping


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("original", [(40, 48), (97, 30), (20, 21)])
def test_cells_match_a_literal_count(name, original):
    geometry = GEOMETRIES[name]
    placement = geometry.plan(original).placement
    mask = np.random.default_rng(0).random(original) > 0.98
    mask[3:6, 4:9] = True
    grid = (geometry.input_size[0] // 8, geometry.input_size[1] // 8)
    found = diagnostics.cells(mask, placement, grid, geometry.input_size)
    for ours, literal in zip(
        found, literal_cells(mask, placement, grid, geometry.input_size), strict=True
    ):
        np.testing.assert_array_equal(ours, literal)
    assert found[1].any() and not found[1].all()


def test_letterbox_padding_is_no_patch_of_the_image():
    geometry = GEOMETRIES["letterbox"]
    placement = geometry.plan((32, 64)).placement
    shown, overlapping = diagnostics.cells(None, placement, (8, 8), geometry.input_size)
    assert shown.sum(1).tolist() == [0, 0, 8, 8, 8, 8, 0, 0]
    assert not overlapping.any()


def literal_distances(nearest: list[list[float]], kinds: list[int]) -> diagnostics.PatchDistances:
    return diagnostics.PatchDistances(
        np.array(nearest, dtype=np.float32),
        np.array([0, 0, 3, 3], dtype=np.int64),
        np.array(kinds, dtype=np.int8),
    )


def test_a_patch_is_inside_where_the_loss_would_not_attract_it():
    distances = literal_distances([[0.5, 2], [0.1, 0.5], [0.6, 1], [3, 4]], [0, 0, 0, 1])
    record = diagnostics.summarise(
        distances, num_images=1, num_entries=8, radius=0.5, squared=True, sqrt_alpha=0.5
    )
    assert record["inside"]["normal"] == pytest.approx(
        {"none": 1 / 3, "one": 1 / 3, "several": 1 / 3}
    )
    assert record["inside"]["defect"] == {"none": 1, "one": 0, "several": 0}
    assert record["bank"] == {"entries": 8, "used": 2, "effective": pytest.approx(2)}
    assert record["median_distance"] == {"normal": 0.5, "defect": 3}
    assert sum(record["histogram"]["normal"]) == 3
    assert record["histogram"]["edges"][-1] == 3
    found = scalars(record)
    assert found["diagnostics/radius_over_sqrt_alpha"] == 1
    assert found["diagnostics/bank_used_ratio"] == 0.25
    # without `squared` the loss compares r^2 with the distance itself
    plain = diagnostics.summarise(
        distances, num_images=1, num_entries=8, radius=0.5, squared=False, sqrt_alpha=None
    )
    assert plain["border_distance"] == 0.25
    assert plain["inside"]["normal"]["none"] == pytest.approx(2 / 3)
    assert plain["sqrt_alpha"] is None
    assert scalars(plain)["diagnostics/radius_over_sqrt_alpha"] is None


def test_kinds_without_a_patch_and_banks_of_one_have_no_made_up_numbers():
    distances = literal_distances([[0.0]] * 4, [0, 0, -1, -1])
    distances = diagnostics.PatchDistances(
        distances.nearest, np.zeros(4, dtype=np.int64), distances.kinds
    )
    record = diagnostics.summarise(
        distances, num_images=1, num_entries=1, radius=0.0, squared=True, sqrt_alpha=None
    )
    assert record["num_patches"] == {"normal": 2, "defect": 0}
    assert record["inside"]["defect"] is None
    assert record["inside"]["normal"] == {"none": 0, "one": 1, "several": 0}
    assert record["bank"]["effective"] == 1
    assert list(diagnostics.curves(record)) == ["distances_normal"]
    assert scalars(record)["diagnostics/defect_inside_one"] is None
    json.dumps(record, allow_nan=False)


def test_samples_are_spread_over_all_kinds():
    samples = [Sample(f"{i:03}.png", "test", i > 9, "good") for i in range(100)]
    chosen = diagnostics.choose_samples(samples, 5)
    assert [sample.path for sample in chosen] == [f"{i:03}.png" for i in (0, 25, 50, 74, 99)]
    assert diagnostics.choose_samples(samples, 200) == samples
    assert diagnostics.choose_samples(samples, 0) == []


def test_a_run_leaves_diagnostics_that_a_literal_search_confirms(tiny_config, tmp_path):
    config = tiny_config("loss.r=0.5", "trainer.epochs=1")
    run(config, tmp_path)
    record = json.loads((tmp_path / names.DIAGNOSTICS).read_text())
    detector, table = load_detector(tmp_path), read_table(config)
    extractor, _ = make_extractor(config, torch.device("cpu"))
    nearest, used, defect = [], set(), []
    for sample in table.test:
        (batch,) = extractor.batches([table.absolute(sample.path)])
        with torch.no_grad():
            phi = detector.descriptor([level.float() for level in batch.pyramid])[0]
        distances = (phi[:, None] - detector.bank[None]).square().sum(-1).sqrt()  # (n, m)
        nearest.append(distances.sort(dim=1).values[:, :2])
        used |= set(distances.argmin(1).tolist())
        mask = sample_mask(table, sample, batch.placements[0])
        assert mask is not None
        cells = mask.reshape(40, 48)
        side = round(len(phi) ** 0.5)
        rows = np.arange(40) * side // 40
        columns = np.arange(48) * side // 48
        grid = np.zeros((side, side), dtype=bool)
        ys, xs = cells.nonzero()
        grid[rows[ys], columns[xs]] = True  # by pixels' first edges: a part of what overlaps
        defect.append(grid.ravel())
    distances = torch.cat(nearest)
    inside = (distances <= abs(record["radius"])).sum(1)
    shares = [(inside == count).double().mean().item() for count in (0, 1, 2)]
    numbers = record["num_patches"]
    total = sum(numbers.values())
    assert total == len(distances)
    for name, share in zip(("none", "one", "several"), shares, strict=True):
        ours = sum(record["inside"][kind][name] * numbers[kind] for kind in numbers) / total
        assert ours == pytest.approx(share, abs=2 / total)
    assert record["bank"]["used"] == pytest.approx(len(used), abs=1)
    assert numbers["defect"] >= np.concatenate(defect).sum() > 0
    assert record["median_distance"]["defect"] > record["median_distance"]["normal"]
    assert record["sqrt_alpha"] == pytest.approx(0.1**0.5)


def test_each_image_goes_through_the_backbone_once_without_a_store(
    tiny_config, tmp_path, monkeypatch
):
    seen: list[int] = []
    pyramid = Extractor.pyramid

    def counted(self: Extractor, pixels: Sequence[np.ndarray]) -> list[torch.Tensor]:
        seen.append(len(pixels))
        return pyramid(self, pixels)

    monkeypatch.setattr(Extractor, "pyramid", counted)
    config = tiny_config("features.cache=false", "trainer.epochs=1")
    run(config, tmp_path)
    table = read_table(config)
    assert sum(seen) == len(table.train) + len(table.test)
    assert json.loads((tmp_path / names.DIAGNOSTICS).read_text())["num_images"] == len(table.test)


def test_no_images_asked_for_leave_no_file(tiny_config, tmp_path: Path):
    run(tiny_config("evaluation.diagnostics=0", "trainer.epochs=1"), tmp_path)
    assert not (tmp_path / names.DIAGNOSTICS).exists()
