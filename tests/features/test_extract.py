"""Features are the same bits wherever they come from: fresh, stored, streamed, in any company."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import write_tiny
from torch import Tensor

from cfa_lab.data.geometry import Geometry
from cfa_lab.errors import UserError
from cfa_lab.features import extract
from cfa_lab.features.extract import Extractor, FeatureBatch
from cfa_lab.features.folder import stored_files
from cfa_lab.features.networks import make_network
from cfa_lab.features.store import FeatureStore
from cfa_lab.features.stream import StreamedLevel
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.training.fit import fit_pyramid

RESNET = Architecture(model="resnet18", layers=["layer1", "layer2", "layer3"])
LITE = Architecture(model="tf_efficientnet_lite0", layers=["blocks.1", "blocks.2", "blocks.4"])


def make_backbone(architecture: Architecture = RESNET) -> Backbone:
    return Backbone(architecture, make_network(architecture.model, weights="random"))


@pytest.fixture(scope="module")
def plain() -> Extractor:
    """Without a store."""
    return Extractor(
        backbone=make_backbone(),
        geometry=Geometry(resize="stretch", height=64, width=64),
        device=torch.device("cpu"),
        dtype="half",
        precision="exact",
        batch_size=3,
        workers=1,
    )


@pytest.fixture
def stored(plain, tmp_path) -> Callable[..., Extractor]:
    """A function from changes to an extractor with a new store object on one folder."""

    def make(max_gb: float = 1, **changes: Any) -> Extractor:
        return replace(plain, store=FeatureStore(tmp_path / "store", max_gb), **changes)

    return make


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    write_tiny(folder, num_train=7)
    return sorted((folder / "train" / "good").iterdir())


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """How many images passed the backbone, one number for each batch so far."""
    counted: list[int] = []
    pyramid = Extractor.pyramid

    def count(self: Extractor, pixels: list[np.ndarray]) -> list[Tensor]:
        counted.append(len(pixels))
        return pyramid(self, pixels)

    monkeypatch.setattr(Extractor, "pyramid", count)
    return counted


def assert_same(found: Any, expected: Any) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert a.stride() == b.stride()
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "architecture, num_threads",
    [(RESNET, 1), (LITE, 1), (LITE, 2)],
    ids=["resnet", "lite", "lite2"],
)
def test_an_image_has_the_same_features_in_any_company(plain, architecture, num_threads):
    """The whole store rests on it."""
    extractor = replace(plain, backbone=make_backbone(architecture), dtype="float32")
    rng = np.random.default_rng(0)
    image, *others = rng.integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    torch.set_num_threads(num_threads)
    try:
        alone = [level[0] for level in extractor.pyramid([image])]
        for batch, place in (
            ([image, *others[:2]], 0),
            ([others[3], image, others[4]], 1),
            ([others[0], others[2], image], 2),
            ([others[1], image], 1),
        ):
            assert_same([level[place] for level in extractor.pyramid(batch)], alone)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("dtype", ["half", "float32"])
def test_fresh_stored_and_uncached_features_are_the_same_bits(plain, stored, paths, passes, dtype):
    expected = replace(plain, dtype=dtype).collect(paths)
    passes.clear()
    assert_same(stored(dtype=dtype).collect(paths), expected)
    assert passes == [3, 3, 1]
    assert_same(stored(dtype=dtype).collect(paths), expected)
    assert passes == [3, 3, 1]
    assert all(level.is_contiguous(memory_format=torch.channels_last) for level in expected)


def test_features_too_large_for_half_precision_are_refused_and_not_stored(plain, stored, paths):
    backbone = make_backbone()
    with torch.no_grad():
        backbone.network.get_parameter("bn1.weight").mul_(1e8)
    extractor = stored(backbone=backbone)
    with pytest.raises(UserError, match=r"resnet18 overflow half .*use features\.dtype=float32"):
        extractor.collect(paths)
    assert stored_files(extractor.store.folder) == []
    whole = replace(plain, backbone=backbone, dtype="float32").collect(paths)
    assert all(level.isfinite().all() for level in whole)


def test_only_what_is_missing_is_extracted(plain, stored, paths, passes):
    stored().collect([paths[1], paths[4]])
    passes.clear()
    assert_same(stored().collect(paths), plain.collect(paths))
    assert passes[:2] == [3, 2]


def test_a_copy_of_an_image_elsewhere_is_known(stored, paths, passes, tmp_path):
    copy = tmp_path / "other.png"
    copy.write_bytes(paths[0].read_bytes())
    stored().collect(paths[:1])
    stored().collect([copy, copy])
    assert passes == [1]
    copy.write_bytes(paths[1].read_bytes())
    stored().collect([copy])
    assert passes == [1, 1]


def test_batches_carry_placements_without_decoding(plain, stored, paths, passes):
    def flat(batches: Iterator[FeatureBatch]) -> tuple[list[Any], list[Tensor]]:
        batches_ = list(batches)
        assert [len(batch.placements) for batch in batches_] == [3, 3, 1]
        return (
            [place for batch in batches_ for place in batch.placements],
            [level for batch in batches_ for level in batch.pyramid],
        )

    fresh_places, fresh = flat(plain.batches(paths))
    stored().collect(paths)
    passes.clear()
    places, levels = flat(stored().batches(paths))
    assert passes == []
    assert places == fresh_places
    assert places[0].original == (40, 48)
    assert_same(levels, fresh)


def test_a_damaged_entry_is_rebuilt(plain, stored, paths, passes, caplog):
    stored().collect(paths)
    path = stored_files(stored().store.folder)[2].path
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    passes.clear()
    expected = plain.collect(paths)
    passes.clear()
    assert_same(stored().collect(paths), expected)
    assert passes == [1]
    assert "damaged" in caplog.text
    assert_same(stored().collect(paths), expected)
    assert passes == [1]


def test_fast_features_are_rounded_where_that_gains_and_known_as_such(plain, paths, monkeypatch):
    fast = replace(plain, precision="fast")
    monkeypatch.setattr(extract, "multiplies_faster_in_bf16", lambda device: False)
    assert fast.identity() == plain.identity()
    monkeypatch.setattr(extract, "multiplies_faster_in_bf16", lambda device: True)
    assert fast.identity() != plain.identity()
    for rounded, exact in zip(fast.collect(paths), plain.collect(paths), strict=True):
        assert rounded.dtype == torch.float16
        assert not torch.equal(rounded, exact)
        assert (rounded - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "float32"},
        {"batch_size": 2},
        {"geometry": Geometry(resize="letterbox", height=64, width=64)},
        {"backbone": make_backbone(replace(RESNET, layers=["layer1", "layer2"]))},
        {"backbone": make_backbone(replace(RESNET, activation="leaky"))},
        {"backbone": make_backbone(replace(RESNET, divide_by_channels=True))},
        {"backbone": make_backbone(replace(RESNET, mean=(0.5, 0.5, 0.5)))},
    ],
    ids=["dtype", "batch", "geometry", "layers", "activation", "division", "mean"],
)
def test_features_made_otherwise_have_another_identity(plain, changes):
    assert replace(plain, **changes).identity() != plain.identity()


def test_identity_follows_weights_and_threads_but_not_what_cannot_matter(plain, stored):
    assert stored(workers=7, memory_gb=1).identity() == plain.identity()
    torch.set_num_threads(2)
    try:
        two_threads = stored().identity()
    finally:
        torch.set_num_threads(1)
    assert two_threads != plain.identity()
    other = make_backbone()
    with torch.no_grad():
        next(other.network.parameters()).add_(1e-3)
    assert replace(plain, backbone=other).identity() != plain.identity()


@pytest.mark.parametrize("cache", [True, False])
def test_streamed_levels_give_what_memory_would(plain, stored, paths, passes, cache):
    expected = plain.collect(paths)
    passes.clear()
    levels = (stored(memory_gb=0) if cache else replace(plain, memory_gb=0)).collect(paths)
    assert all(isinstance(level, StreamedLevel) for level in levels)
    assert passes == ([3, 3, 1] if cache else [3])
    for index in (np.array([5, 0, 2, 6]), np.array([1]), slice(2, 7), slice(3, None)):
        rows = index if isinstance(index, slice) else torch.from_numpy(index)
        assert_same([level[index] for level in levels], [level[rows] for level in expected])
    assert [(len(a), a.shape, a.device) for a in levels] == [
        (len(b), b.shape, b.device) for b in expected
    ]
    assert passes == ([3, 3, 1] if cache else [3, 3, 1, 1, 3, 2, 3, 1])


def test_training_on_streamed_levels_gives_the_same_history(plain, stored, paths):
    histories = [
        fit_pyramid(extractor.collect(paths), pooled=True, preset="official", epochs=2)[1]
        for extractor in (plain, stored(memory_gb=0), replace(plain, memory_gb=0))
    ]
    assert len(histories[0]) == 2
    assert histories[0] == histories[1] == histories[2]


def test_a_store_too_small_for_the_set_changes_no_bit(plain, stored, paths):
    stored().collect(paths[:1])
    (file,) = stored_files(stored().store.folder)
    expected = plain.collect(paths)
    small = 2.5 * file.num_bytes / 1e9
    for memory_gb in (1, 0):
        levels = stored(max_gb=small, memory_gb=memory_gb).collect(paths)
        everything = slice(0, len(paths))
        assert_same([level[everything] for level in levels], expected)
        assert len(stored_files(stored().store.folder)) == 2


def test_two_extracting_at_once_make_each_image_once(plain, stored, paths, passes):
    expected = plain.collect(paths)
    passes.clear()
    found: dict[int, Any] = {}
    start = threading.Barrier(2)
    extractors = [stored(backbone=make_backbone()) for _ in range(2)]

    def work(number: int) -> None:
        extractor = extractors[number]
        start.wait(timeout=30)
        found[number] = extractor.collect(paths)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(passes) == [1, 3, 3]
    assert_same(found[0], expected)
    assert_same(found[1], expected)


WORKER = """
import sys
from pathlib import Path
import torch
from cfa_lab.data.geometry import Geometry
from cfa_lab.features.extract import Extractor
from cfa_lab.features.networks import make_network
from cfa_lab.features.store import FeatureStore
from cfa_lab.method.backbone import Architecture, Backbone
torch.set_num_threads(1)
architecture = Architecture(model="resnet18", layers=["layer1", "layer2", "layer3"])
backbone = Backbone(architecture, make_network("resnet18", weights="random"))
geometry = Geometry(resize="stretch", height=64, width=64)
extractor = Extractor(
    backbone=backbone, geometry=geometry, device=torch.device("cpu"), dtype="half",
    precision="exact", batch_size=3, workers=1, store=FeatureStore(Path(sys.argv[1]), 1),
)
print("ready", flush=True)
sys.stdin.readline()
passes = []
pyramid = Extractor.pyramid
Extractor.pyramid = lambda self, pixels: passes.append(len(pixels)) or pyramid(self, pixels)
extractor.collect([Path(path) for path in sys.argv[2:]])
print(sum(passes))
"""


@pytest.mark.slow
def test_two_processes_share_the_work_and_a_killed_one_leaves_nothing_in_the_way(
    plain, stored, tmp_path
):
    write_tiny(tmp_path / "many", num_train=60)
    paths = sorted((tmp_path / "many" / "train" / "good").iterdir())
    folder = stored().store.folder
    command = [sys.executable, "-c", WORKER, str(folder), *map(str, paths)]
    first, second, third = (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    )
    for process in (first, second, third):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    assert first.stdin is not None
    first.stdin.write("go\n")
    first.stdin.flush()
    deadline = time.monotonic() + 60
    while len(before := stored_files(folder)) < 4:
        assert time.monotonic() < deadline
    first.kill()
    first.communicate()
    for process in (second, third):
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    made = [int(process.communicate(timeout=120)[0]) for process in (second, third)]
    assert 0 < sum(made) <= len(paths) - len(before) + plain.batch_size
    assert len(stored_files(folder)) == len(paths)
    assert_same(stored().collect(paths), plain.collect(paths))


def test_no_images_give_no_levels_and_a_missing_one_is_named(stored, tmp_path):
    assert stored().collect([]) == []
    with pytest.raises(UserError, match=r"cannot read image .*none.png"):
        stored().collect([tmp_path / "none.png"])
