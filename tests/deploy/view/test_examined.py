from typing import Any

import numpy as np
import pytest
from PIL import Image

import cfa_lab
from cfa_lab.data.decoded import Decoded
from cfa_lab.data.images import load_image
from cfa_lab.data.inputs import inputs_of
from cfa_lab.deploy.runtime_torch import load_run
from cfa_lab.deploy.view.examined import examine
from cfa_lab.run.run import run

PATH = "square/test/spot/000.png"


def test_the_score_and_the_map_are_the_runs_own(viewer, run_scores, tiny_run):
    for path, score in run_scores.items():
        examined = viewer.open(path)
        assert str(examined.scored.score) == score
    examined = viewer.open(PATH)
    (heat,) = cfa_lab.load(tiny_run).predict(viewer.table.absolute(PATH)).maps
    assert np.array_equal(examined.heat, heat)
    assert examined.mask.any() and examined.label == 1
    assert not viewer.open("square/test/good/000.png").mask.any()


def test_neighbours_are_the_nearest_entries_and_their_distances(viewer, runtime):
    """Against all distances to all entries."""
    examined = viewer.open(PATH)
    loaded = load_image(viewer.table.absolute(PATH), runtime.description.image)
    ((_, grid, phi),) = runtime.describe([loaded])
    distances = (phi[:, None] - runtime.detector.bank[None]).double().norm(dim=2)
    order = distances.sort(dim=1, stable=True)
    assert examined.grid == grid
    for y, x in ((0, 0), (39, 47), (17, 30)):
        patch = examined.patch_at(y + 0.5, x + 0.5)
        row, column = int((y + 0.5) / 40 * grid[0]), int((x + 0.5) / 48 * grid[1])
        assert patch.position == (row, column)
        index = row * grid[1] + column
        k = runtime.detector.scoring.num_neighbours
        assert patch.entries == tuple(order.indices[index, :k].tolist())
        assert patch.distances == pytest.approx(order.values[index, :k].tolist(), rel=1e-5)


def test_nothing_is_known_of_a_point_beyond_the_image(viewer):
    examined = viewer.open(PATH)
    assert examined.patch_at(40.5, 3) is None
    assert examined.patch_at(-0.1, 3) is None


def test_of_overlapping_tiles_the_one_whose_rim_is_farthest_answers(tiny_config, tmp_path):
    run(tiny_config("image.resize=tile", "image.overlap=32"), tmp_path / "run")
    runtime = load_run(tmp_path / "run")
    pixels = np.random.default_rng(0).integers(0, 255, (64, 128, 3), dtype=np.uint8)
    image = Decoded(Image.fromarray(pixels))
    examined: Any = examine(runtime, image, name="wide")
    (scored,) = runtime.score([inputs_of(image, runtime.description.image)])
    assert examined.scored.score == scored.score
    assert [seen.placement.window[1] for seen in examined.inputs] == [0, 32, 64]
    rows, columns = examined.grid
    for x, tile in ((2, 0), (40, 0), (52, 1), (70, 1), (90, 2), (126, 2)):
        patch = examined.patch_at(32.5, x + 0.5)
        seen = examined.inputs[tile]
        column = int((x + 0.5 - seen.placement.window[1]) * columns / 64)
        assert patch.position == (32 * rows // 64, column)
        assert patch.box[1] <= x < patch.box[1] + patch.box[3]
        assert patch.entries == tuple(seen.entries[patch.position[0] * columns + column])
