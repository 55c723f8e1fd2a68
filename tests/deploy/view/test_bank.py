import pytest
import torch

from cfa_lab.data.decoded import decode
from cfa_lab.data.depth import Depth
from cfa_lab.data.images import load_image
from cfa_lab.data.inputs import inputs_of
from cfa_lab.deploy.runtime_torch import load_run
from cfa_lab.deploy.view import bank as module
from cfa_lab.deploy.view.bank import Bank
from cfa_lab.deploy.view.patches import patch_box
from cfa_lab.errors import UserError
from cfa_lab.run.recorded import recorded_table
from cfa_lab.run.run import run


@pytest.fixture(scope="module")
def coreset(tiny_root, tmp_path_factory):
    """Runtime and table of a run whose bank is a coreset."""
    from helpers.tiny import TINY_RUN, compose

    folder = tmp_path_factory.mktemp("coreset") / "run"
    more = ["optimizer=closed_form", "loss.learnable_radius=false", "memory_bank.kind=coreset"]
    settings = [one for one in TINY_RUN if not one.startswith(("optimizer", "loss.learnable"))]
    config = compose(*settings, f"dataset.root={tiny_root}", *more, "memory_bank.entries=40")
    run(config, folder)
    return load_run(folder), recorded_table(folder)


def all_patches(runtime, table):
    """Path, position and feature of every training patch, in order."""
    for sample in table.train:
        path = table.absolute(sample.path)
        ((_, grid, phi),) = runtime.describe([load_image(path, runtime.description.image)])
        for i, feature in enumerate(phi):
            yield path, divmod(i, grid[1]), feature


def test_the_training_patches_are_the_nearest_of_all(coreset):
    """Against every patch of every training image."""
    runtime, table = coreset
    bank = Bank(runtime, {"kind": "coreset", "gamma_c": 1}, table)
    patches = list(all_patches(runtime, table))
    features = torch.stack([feature for _, _, feature in patches])
    wanted = [0, 7, 39, 7]
    found = bank.training_patches(wanted)
    assert len(found) == 4 and found[1] == found[3]
    for entry, patch in zip(wanted, found, strict=True):
        distances = (features - runtime.detector.bank[entry]).norm(dim=1)
        path, position, _ = patches[int(distances.argmin())]
        assert (patch.path, patch.position) == (path, position)
        assert patch.distance == 0, "a coreset's entries are patches"


def test_what_is_far_from_every_patch_is_found_after_looking_at_all(coreset, monkeypatch):
    runtime, table = coreset
    patches = list(all_patches(runtime, table))
    features = torch.stack([feature for _, _, feature in patches])
    bank = Bank(runtime, {"kind": "ema"}, table)
    moved = runtime.detector.bank + 0.3 * runtime.detector.bank.std()
    monkeypatch.setattr(bank, "_entries", moved)
    for entry, patch in enumerate(bank.training_patches(range(5))):
        distances = (features - moved[entry]).norm(dim=1)
        path, position, _ = patches[int(distances.argmin())]
        assert (patch.path, patch.position) == (path, position)
        assert patch.distance == pytest.approx(float(distances.min()), rel=1e-5)


def test_training_images_are_described_once_for_an_entry(coreset, monkeypatch):
    runtime, table = coreset
    bank = Bank(runtime, {"kind": "coreset"}, table)
    assert not bank.known([3, 4])
    first = bank.training_patches([3, 4])
    assert bank.known([3, 4]) and not bank.known([3, 5])
    monkeypatch.setattr(module, "iterate_images", None)
    assert bank.training_patches([4, 3]) == first[::-1]


def test_a_search_ends_when_the_page_is_closed(coreset, monkeypatch):
    runtime, table = coreset
    bank = Bank(runtime, {"kind": "ema"}, table)
    monkeypatch.setattr(bank, "_entries", runtime.detector.bank + 1)
    bank.closed = True
    (patch,) = bank.training_patches([0])
    assert patch.path == table.absolute(table.train[0].path), "the first image's, and no more"


def test_a_training_image_that_is_gone_is_named(coreset):
    from dataclasses import replace

    runtime, table = coreset
    gone = replace(table, root=table.root / "gone")
    with pytest.raises(UserError, match=r"cannot read image .*gone"):
        Bank(runtime, {"kind": "coreset"}, gone).training_patches([0])


def test_in_tiled_images_the_tile_is_found_too(tiny_config, tmp_path):
    """Against the patches of all tiles of all training images."""
    sizes = [f"image.{name}=32" for name in ("height", "width")]
    run(tiny_config("image.resize=tile", "image.overlap=0", *sizes), tmp_path / "run")
    runtime, table = load_run(tmp_path / "run"), recorded_table(tmp_path / "run")
    bank = Bank(runtime, {"kind": "coreset"}, table)
    patches, tiles, rows, columns = [], [], 0, 0
    for sample in table.train:
        path = table.absolute(sample.path)
        tiles = inputs_of(decode(path, Depth()), runtime.description.image)
        assert len(tiles) == 4
        for placement, (rows, columns), phi in runtime.describe(tiles):
            assert len(phi) == rows * columns
            patches += [(path, placement, divmod(i, columns), f) for i, f in enumerate(phi)]
    features = torch.stack([feature for *_, feature in patches])
    entry, grid = len(bank) - 1, (rows, columns)
    (found,) = bank.training_patches([entry])
    distances = (features - runtime.detector.bank[entry]).norm(dim=1)
    path, placement, position, _ = patches[int(distances.argmin())]
    assert (found.path, found.position) == (path, position)
    assert found.box == patch_box(placement, (32, 32), grid, position)
    first = patch_box(tiles[0].placement, (32, 32), grid, (0, 1))
    assert {one.box for one in bank.patches_at((0, 1), grid, 2)} == {first}


@pytest.mark.parametrize(
    ("kind", "gamma_c", "entry", "position", "said"),
    [
        ("mean", 1, 9, (2, 1), "the average of the training images at row 2, column 1"),
        ("sample", 1, 9, (2, 1), "a patch of the training images at row 2, column 1"),
        ("both", 1, 9, (2, 1), "the average of the training images at row 2, column 1"),
        ("both", 1, 40, None, "a patch of a training image"),
        ("both", 2, 9, None, "a centre of K-means"),
        ("both", 2, 12, None, "a patch of a training image"),
        ("mean", 2, 9, None, "a centre of K-means"),
        ("coreset", 1, 9, None, "a patch of a training image"),
        ("ema", 1, 9, None, "an entry that followed its matches over the training images"),
        (None, 1, 9, None, "an entry of unknown kind, since the run's settings are not there"),
    ],
)
def test_what_an_entry_is(coreset, monkeypatch, kind, gamma_c, entry, position, said):
    runtime, table = coreset
    grid = (6, 4)
    settings = {} if kind is None else {"kind": kind, "gamma_c": gamma_c}
    bank = Bank(runtime, settings, table)
    size = 24 // gamma_c + 30 * (kind == "both")
    monkeypatch.setattr(bank, "_entries", torch.zeros(size, 3))
    assert bank.position(entry, grid) == position
    assert bank.describe(entry, grid) == said
    assert bank.is_average(entry, grid) == (kind in ("mean", "both") and position is not None)


def test_a_bank_that_does_not_fit_the_grid_claims_no_position(coreset):
    runtime, table = coreset
    bank = Bank(runtime, {"kind": "mean", "gamma_c": 1}, table)  # 40 entries
    assert bank.position(3, (6, 4)) is None


def test_patches_at_a_position_are_spread_over_the_training_images(coreset):
    runtime, table = coreset
    bank = Bank(runtime, {"kind": "mean", "gamma_c": 1}, table)
    found = bank.patches_at((1, 2), (16, 16), 3)
    assert [patch.path.name for patch in found] == ["000.png", "001.png", "003.png"]
    assert {patch.box for patch in found} == {(2, 6, 3, 3)}
    assert len(bank.patches_at((0, 0), (16, 16), 99)) == len(table.train)
