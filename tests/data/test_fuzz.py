"""Readers meet bytes and lists of any kind: they give a result or one clear line, never a crash."""

import io
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers.deep_files import png
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cfa_lab.data import LAYOUTS, Geometry, categories, load_image, load_mask, read_samples
from cfa_lab.data.toy import write_toy_layout
from cfa_lab.doctor.archives import unpack
from cfa_lab.doctor.facts import image_facts, mask_facts
from cfa_lab.errors import UserError

# A damaged header may ask for huge images; Pillow warns of those, which tests make an error.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

FUZZ = settings(
    max_examples=2500,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
RNG = np.random.default_rng(0)
FORMATS = {"png": "RGBA", "jpg": "RGB", "bmp": "P", "tif": "L", "webp": "RGB", "gif": "P"}


def encoded(suffix: str, mode: str) -> bytes:
    pixels = RNG.integers(0, 256, (12, 9, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def encoded_deep(suffix: str) -> bytes:
    """Colours of 12 bits in 16, by another writer than Pillow."""
    values = RNG.integers(0, 4096, (12, 9, 3), dtype=np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deep"
        png(path, values, filtering=4) if suffix == "png" else tifffile.imwrite(
            path, values, photometric="rgb", rowsperstrip=5, compression="zlib"
        )
        return path.read_bytes()


IMAGES = {suffix: encoded(suffix, mode) for suffix, mode in FORMATS.items()}
IMAGES |= {f"deep.{suffix}": encoded_deep(suffix) for suffix in ("png", "tif")}
DAMAGE = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8
)


def damaged(content: bytes, damage: list[tuple[float, int]], keep: float) -> bytes:
    """Overwrite single bytes and cut the end off."""
    changed = bytearray(content)
    for place, value in damage:
        changed[int(place * len(changed))] = value
    return bytes(changed[: max(1, int(keep * len(changed)))])


def calm(call, *arguments) -> object:
    """The result of a call, or None for a user's error, which must be one line."""
    try:
        return call(*arguments)
    except UserError as error:
        assert "\n" not in str(error) and str(error)
        return None


@FUZZ
@given(
    suffix=st.sampled_from(sorted(IMAGES)),
    damage=DAMAGE,
    keep=st.sampled_from([1.0, 1.0, 0.95, 0.5]),
)
def test_damaged_images_are_read_or_named(tmp_path_factory, suffix, damage, keep):
    path = tmp_path_factory.getbasetemp() / f"fuzz.{suffix}"
    path.write_bytes(damaged(IMAGES[suffix], damage, keep))
    loaded = calm(load_image, path, Geometry(resize="letterbox", height=16, width=16))
    assert loaded is None or loaded.pixels.shape == (16, 16, 3)  # pyright: ignore
    calm(load_mask, [path], (12, 9))
    assert image_facts(path).error is not None or image_facts(path).content
    mask_facts(path, 0)


@FUZZ
@given(content=st.binary(max_size=200), suffix=st.sampled_from(["png", "tif", "jpg"]))
def test_bytes_of_no_format_are_no_image(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f"noise.{suffix}"
    path.write_bytes(content)
    calm(load_image, path, Geometry(resize="stretch", height=8, width=8))


@pytest.fixture(scope="module")
def toys(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("fuzz")
    for layout in LAYOUTS:
        write_toy_layout(layout, root / layout, "toy", size=32, num_train=3, num_defects=1)
    return root


def read_all(layout: str, root: Path) -> None:
    for name in calm(categories, layout, root) or ():  # pyright: ignore
        table = calm(read_samples, layout, root, name)
        if table is not None:
            assert table.train and table.test  # pyright: ignore


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


@FUZZ
@given(
    rows=st.lists(
        st.lists(
            st.one_of(
                TEXT,
                st.sampled_from(["path", "label", "split", "mask", "category", "toy"]),
                st.sampled_from(["0", "1", "train", "test", "photos/000.tif", "../x", '"']),
            ),
            max_size=5,
        ),
        max_size=6,
    ),
    header=st.booleans(),
)
def test_any_index_is_read_or_named(toys, rows, header):
    lines = [",".join(row) for row in rows]
    text = "\n".join(["path,label,split,category", *lines] if header else lines)
    (toys / "csv/index.csv").write_text(text, encoding="utf-8", newline="")
    read_all("csv", toys / "csv")


@FUZZ
@given(content=st.binary(max_size=120))
def test_an_index_of_any_bytes_is_read_or_named(toys, content):
    (toys / "csv/index.csv").write_bytes(content)
    read_all("csv", toys / "csv")


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["train", "test", "image_path", "mask_path", "anomaly_class", "x"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@FUZZ
@given(content=VALUES)
def test_any_list_of_real_iad_is_read_or_named(toys, content):
    path = toys / "real_iad/realiad_jsons/realiad_jsons/toy.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    read_all("real_iad", toys / "real_iad")


@FUZZ
@given(rows=st.lists(st.lists(st.one_of(TEXT, st.sampled_from(["toy", "train", "normal"])))))
def test_any_list_of_visa_is_read_or_named(toys, rows):
    text = "\n".join(["object,split,label,image,mask", *(",".join(row) for row in rows)])
    (toys / "visa/split_csv/1cls.csv").write_text(text, encoding="utf-8", newline="")
    (toys / "visa/toy/image_anno.csv").write_text("image,label\n" + text, encoding="utf-8")
    read_all("visa", toys / "visa")


@settings(FUZZ, max_examples=600)
@given(
    layout=st.sampled_from([name for name in LAYOUTS if name not in ("csv", "real_iad", "visa")]),
    data=st.data(),
)
def test_any_part_of_a_layout_may_be_missing_or_moved(toys, tmp_path_factory, layout, data):
    root = tmp_path_factory.mktemp("part") / layout
    shutil.copytree(toys / layout, root)
    for _ in range(data.draw(st.integers(1, 4))):
        there = sorted(path for path in root.rglob("*"))
        if not there:
            break
        path = data.draw(st.sampled_from(there))
        action = data.draw(st.sampled_from(["delete", "move", "empty"]))
        if action == "move":
            new = data.draw(st.sampled_from(["good", "test", "train", "000", "x.png", "MT_Free"]))
            if not (path.parent / new).exists():
                path.rename(path.parent / new)
        elif path.is_dir():
            shutil.rmtree(path)
        elif action == "empty":
            path.write_bytes(b"")
        else:
            path.unlink()
    for name in (layout, "auto"):
        read_all(name, root)
    shutil.rmtree(root.parent)


@FUZZ
@given(
    suffix=st.sampled_from(["zip", "tar", "tar.gz"]),
    damage=DAMAGE,
    keep=st.sampled_from([1.0, 0.9, 0.4]),
)
def test_damaged_archives_are_unpacked_whole_or_not_at_all(tmp_path_factory, suffix, damage, keep):
    base = tmp_path_factory.getbasetemp() / "archives"
    source, target = base / "source", base / "out"
    if not source.exists():
        (source / "a").mkdir(parents=True)
        (source / "a/0.png").write_bytes(IMAGES["png"])
        for kind in ("zip", "tar", "gztar"):
            shutil.make_archive(str(base / "archive"), kind, source)
    archive = base / f"damaged.{suffix}"
    archive.write_bytes(damaged((base / f"archive.{suffix}").read_bytes(), damage, keep))
    calm(unpack, archive, target)
    shutil.rmtree(target, ignore_errors=True)
    assert {path.name for path in base.iterdir()} <= {
        "source",
        "archive.zip",
        "archive.tar",
        "archive.tar.gz",
        *(f"damaged.{kind}" for kind in ("zip", "tar", "tar.gz")),
    }
