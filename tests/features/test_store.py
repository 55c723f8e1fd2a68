"""Entries on disk: the same bits back, damage found, bounded, nothing half-written."""

import errno
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cfa_lab.data.geometry import Placement
from cfa_lab.errors import UserError
from cfa_lab.features.entry import DamagedEntry, ImageFeatures, encode, read_entry
from cfa_lab.features.folder import stored_files, trim
from cfa_lab.features.store import FeatureStore, Shelf
from cfa_lab.files import STALE_SECONDS

IDENTITY = {"backbone": "any", "threads": 1}
PLACEMENT = Placement(original=(40, 48), window=(0, 4, 40, 40), content=(0, 0, 64, 64))


def features(seed: int = 0, *, dtype: torch.dtype = torch.float16) -> ImageFeatures:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(4, 8, 6), (5, 1, 3)]
    return ImageFeatures(
        PLACEMENT, [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
    )


def name(number: int) -> str:
    return f"{number:032x}"


def assert_same(found: ImageFeatures | None, expected: ImageFeatures) -> None:
    assert found is not None
    assert found.placement == expected.placement
    for a, b in zip(found.pyramid, expected.pyramid, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


def make_shelf(folder: Path, max_gb: float = 1) -> Shelf:
    return FeatureStore(folder, max_gb).shelf(IDENTITY)


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_another_store_object_reads_the_same_bits_and_placement(tmp_path, dtype):
    make_shelf(tmp_path).write(name(1), features(dtype=dtype))
    assert_same(make_shelf(tmp_path).read(name(1)), features(dtype=dtype))


def test_what_is_not_there_or_was_made_otherwise_is_none(tmp_path):
    shelf = make_shelf(tmp_path)
    assert shelf.read(name(1)) is None
    assert not shelf.claim(name(1))
    shelf.write(name(1), features())
    assert shelf.claim(name(1))
    other = FeatureStore(tmp_path, 1).shelf(IDENTITY | {"threads": 2})
    assert other.read(name(1)) is None


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_unless_nothing_reads_it(tmp_path_factory, position, bit):
    path = tmp_path_factory.mktemp("entry") / "entry"
    content = bytearray(encode(features(), of="kind/image", identity=IDENTITY))
    content[position % len(content)] ^= 1 << bit
    path.write_bytes(content)
    try:
        found = read_entry(path, of="kind/image")
    except DamagedEntry:
        return
    assert_same(found, features())


@pytest.mark.parametrize("kept", [0, 1, 7, 100, -1])
def test_a_shortened_entry_is_removed_and_can_be_made_again(tmp_path, kept):
    shelf = make_shelf(tmp_path)
    shelf.write(name(1), features())
    (file,) = stored_files(tmp_path)
    file.path.write_bytes(file.path.read_bytes()[:kept])
    assert shelf.read(name(1)) is None
    assert not file.path.exists()
    shelf.write(name(1), features())
    assert_same(shelf.read(name(1)), features())


def test_an_entry_that_holds_another_images_features_is_made_again(tmp_path, caplog):
    """As when a copy went wrong: it is whole, but not what its name says."""
    shelf = make_shelf(tmp_path)
    other = FeatureStore(tmp_path, 1).shelf(IDENTITY | {"threads": 2})
    shelf.write(name(1), features(1))
    other.write(name(2), features(2))
    for wrong in (shelf._path(name(1)), other._path(name(2))):
        shutil.copy(wrong, shelf._path(name(2)))
        assert shelf.read(name(2)) is None
        assert "features of another image" in caplog.text
        assert not shelf._path(name(2)).exists()
        caplog.clear()
    shelf.write(name(2), features(3))
    assert_same(shelf.read(name(2)), features(3))
    assert_same(shelf.read(name(1)), features(1))


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_store_that_can_only_be_read_is_read(tmp_path, monkeypatch, caplog, code):
    make_shelf(tmp_path).write(name(1), features(1))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    for place, function in (
        *((os, call) for call in ("utime", "open")),
        *((Path, call) for call in ("mkdir", "unlink", "write_bytes")),
    ):
        monkeypatch.setattr(place, function, refuse)
    shelf = make_shelf(tmp_path)
    assert shelf.claim(name(1))
    assert_same(shelf.read(name(1)), features(1))
    assert not shelf.store.full
    with shelf.lock(name(2)):
        shelf.write(name(2), features(2))
    assert shelf.store.full
    assert shelf.read(name(2)) is None
    assert len(caplog.records) == 1
    assert "cannot be added to" in caplog.text


def test_entries_of_tiles_are_counted_and_go_like_others(tmp_path):
    shelf = make_shelf(tmp_path)
    shelf.write(f"{name(1)}-0", features(1))
    shelf.write(f"{name(1)}-11", features(2))
    assert len(stored_files(tmp_path)) == 2
    assert trim(tmp_path, 0) == 0
    assert not stored_files(tmp_path)


def fill(folder: Path, count: int) -> list[Path]:
    """Write entries, the first used longest ago; returns their paths in this order."""
    shelf = make_shelf(folder)
    for i in range(count):
        shelf.write(name(i), features(i))
    paths = [next(folder.glob(f"*/{name(i)}.*")) for i in range(count)]
    for i, path in enumerate(paths):
        age(path, 1000 - i)
    return paths


def test_the_least_recently_used_entries_go_first(tmp_path):
    paths = fill(tmp_path, 5)
    size = paths[0].stat().st_size
    make_shelf(tmp_path).claim(name(0))
    assert trim(tmp_path, 2 * size) == 2 * size
    assert [path.exists() for path in paths] == [True, False, False, False, True]
    assert trim(tmp_path, 2 * size) == 2 * size


def test_a_bounded_store_evicts_others_but_never_what_it_was_asked_for(tmp_path, caplog):
    paths = fill(tmp_path, 3)
    size = paths[0].stat().st_size
    shelf = make_shelf(tmp_path, max_gb=4.5 * size / 1e9)
    for i in (0, 7, 8, 9, 10, 11):
        shelf.claim(name(i))
    for i in (7, 8, 9, 10, 11):
        shelf.write(name(i), features(i))
        assert sum(file.num_bytes for file in stored_files(tmp_path)) <= 4.5 * size
    found = {file.path.stem for file in stored_files(tmp_path)}
    assert found == {name(i) for i in (0, 7, 8, 9)}
    assert shelf.store.full
    assert sum("features.max_gb" in record.message for record in caplog.records) == 1


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    shelf = make_shelf(tmp_path)
    write = Path.write_bytes

    def half(path: Path, content: bytes) -> int:
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(UserError, match=r"disk is full.*cache --clear.*features\.cache=false") as e:
        shelf.write(name(1), features())
    assert "\n" not in str(e.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    shelf = make_shelf(tmp_path / "file")
    for attempt in (
        lambda: shelf.write(name(1), features()),
        lambda: shelf.lock(name(1)).__enter__(),
        lambda: shelf.claim(name(1)),
    ):
        with pytest.raises(UserError, match=r"cannot keep features in .*file.*CFA_LAB_CACHE"):
            attempt()


def test_a_folder_whose_parents_vanish_is_one_line_to_writers_and_nothing_to_readers(
    tmp_path, monkeypatch
):
    """As with /proc, where making a folder says that there is no such file."""

    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(Path, "mkdir", refuse)
    shelf = make_shelf(tmp_path / "store")
    assert not shelf.claim(name(1))
    assert shelf.read(name(1)) is None
    for attempt in (
        lambda: shelf.write(name(1), features()),
        lambda: shelf.lock(name(1)).__enter__(),
    ):
        with pytest.raises(UserError, match=r"cannot keep features in .*store: No such file"):
            attempt()


def test_trimming_takes_old_partial_files_but_nothing_foreign(tmp_path):
    (entry,) = fill(tmp_path, 1)
    foreign = [tmp_path / "models" / "a.safetensors", entry.parent / "notes.safetensors"]
    old, young = (entry.parent / f".{entry.name}.{pid}.partial" for pid in (1, 2))
    for path in (*foreign, old, young):
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        age(path, 2 * STALE_SECONDS)
    age(young, 1)
    assert trim(tmp_path, 0) == 0
    assert not entry.exists()
    assert not old.exists()
    assert young.exists()
    assert all(path.exists() for path in foreign)


def test_a_lock_is_held_against_other_store_objects(tmp_path):
    order: list[str] = []

    def wait() -> None:
        with make_shelf(tmp_path).lock(name(1)):
            order.append("waited")

    with make_shelf(tmp_path).lock(name(1)):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.2)
        order.append("held")
    thread.join(timeout=10)
    assert order == ["held", "waited"]
