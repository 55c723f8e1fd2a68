"""What is white in images of more than 8 bits: by the file, by the data set, by a key."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from helpers.deep_files import png
from helpers.tiny import TINY_RUN, write_tiny
from PIL import Image

from cfa_lab.cli import compose
from cfa_lab.data import Geometry, decode_image, decoded, load_image
from cfa_lab.data.depth import Depth
from cfa_lab.data.depth_found import ONLY_BYTES, find_depth
from cfa_lab.data.twins import contents
from cfa_lab.deploy.detector import load
from cfa_lab.doctor.facts import image_facts
from cfa_lab.doctor.image_findings import about_depth
from cfa_lab.errors import UserError
from cfa_lab.features.extract import depth_mark
from cfa_lab.run.prepare import prepare
from cfa_lab.run.run import run

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 48), dtype=np.uint8)
STRETCH: dict[str, Any] = {"resize": "stretch", "height": 64, "width": 64}


def deep(path: Path, bits: int, *, most: int | None = None) -> Path:
    """Noise of some bits in a file of 16, its largest value `most`."""
    values = RNG.integers(0, 2**bits, (16, 16), dtype=np.uint16)
    values[0, 0] = 2**bits - 1
    png(path, values if most is None else values.clip(0, most))
    return path


def found(*paths: Path, **options: Any):
    return find_depth(paths, workers=2, **options)


def test_bits_are_those_that_the_largest_value_over_all_images_needs(tmp_path: Path):
    dark = deep(tmp_path / "a.png", 9)
    assert found(dark).bits == 10
    both = found(dark, deep(tmp_path / "b.png", 12, most=3000))
    assert both.depth == Depth(12) and "is 3000" in both.origin
    assert found(deep(tmp_path / "c.png", 14)).bits == 14
    full = found(dark, deep(tmp_path / "d.png", 16))
    assert full.depth == Depth(16) and "fills them" in full.origin
    assert found(deep(tmp_path / "e.png", 8)).bits == 8


@pytest.mark.parametrize("channels", [1, 3])
def test_a_dark_image_of_16_bits_is_told_where_training_saw_8(
    tmp_path: Path, caplog, monkeypatch, channels: int
):
    """A model of 8-bit photographs, and a camera of 12 bits: almost black, without a word once."""
    monkeypatch.setattr(decoded, "_TOLD", set())
    values = RNG.integers(0, 4096, (16, 16, channels), dtype=np.uint16).squeeze()
    values[0] = 4095
    png(tmp_path / "full.png", values << 4)
    png(tmp_path / "said.png", values, significant=12)
    png(tmp_path / "dark.png", values)
    for name in ("full", "said"):
        decode_image(tmp_path / f"{name}.png", Depth())
    decode_image(tmp_path / "dark.png", Depth(16))  # training had 16 bits: it is dark
    assert not caplog.messages
    decode_image(tmp_path / "dark.png", Depth())
    (line,) = caplog.messages
    assert (
        "dark.png has no value above 4095 of 65535" in line
        and "run again with image.bits=12" in line
    )


def test_the_doctor_names_dark_images_of_16_bits_where_training_has_8(tmp_path: Path):
    write_tiny(tmp_path)
    path = next((tmp_path / "test").rglob("*.png"))
    deep(path, 12)
    depth = find_depth(sorted((tmp_path / "train").rglob("*.png")), workers=1)
    (first, second) = about_depth({"a.png": image_facts(path)}, depth)
    assert not first.wrong and second.wrong
    assert "almost black" in second.text and second.text.endswith("set image.bits=12")


def test_of_colours_all_bytes_are_looked_at(tmp_path: Path):
    values = RNG.integers(0, 4096, (16, 16, 3), dtype=np.uint16)
    png(tmp_path / "a.png", values)
    assert found(tmp_path / "a.png").bits == 12
    png(tmp_path / "b.png", values >> 4)
    assert found(tmp_path / "b.png").bits == 8
    tifffile.imwrite(tmp_path / "a.tif", values >> 2, photometric="rgb")
    assert found(tmp_path / "a.tif").bits == 10


def test_images_of_8_bits_and_those_that_cannot_be_read_say_nothing(tmp_path: Path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"none")
    assert found(tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png") == ONLY_BYTES
    assert found() == ONLY_BYTES


def test_what_files_say_goes_before_their_values(tmp_path: Path):
    png(tmp_path / "a.png", RNG.integers(0, 900, (16, 16)), significant=12)
    assert found(tmp_path / "a.png").bits == 12
    (tmp_path / "b.pgm").write_bytes(b"P5 2 1 2047\n\0\1\0\2")
    assert found(tmp_path / "b.pgm").bits == 11
    tag = (281, "H", 1, 4095, True)
    tifffile.imwrite(tmp_path / "c.tif", GREY.astype(np.uint16), metadata=None, extratags=[tag])
    assert found(tmp_path / "c.tif").bits == 12


def test_samples_that_a_png_stretched_to_16_bits_are_taken_as_they_are(tmp_path: Path):
    """As the format wants it: sBIT says where they came from."""
    values = RNG.integers(0, 4096, (16, 16)).astype(np.uint16) * 16
    png(tmp_path / "a.png", values, significant=12)
    assert found(tmp_path / "a.png").bits == 16
    dark = png(tmp_path / "b.png", values >> 8, significant=12)
    assert np.array_equal(decode_image(dark, Depth(16))[..., 0], values >> 16)


def test_files_of_one_set_count_by_what_each_says(tmp_path: Path):
    values = RNG.integers(0, 1024, (16, 16))
    ten = png(tmp_path / "a.png", values, significant=10)
    twelve = png(tmp_path / "b.png", values * 4, significant=12)
    depth = found(ten, twelve).depth
    assert np.allclose(decode_image(ten, depth)[..., 0], values * 255 / 1023)
    assert np.allclose(decode_image(twelve, depth)[..., 0], values * 4 * 255 / 4095)
    assert np.allclose(decode_image(ten, found(bits=12).depth)[..., 0], values * 255 / 4095)


def test_no_image_is_read_by_its_own_values(tmp_path: Path):
    bright, dark = deep(tmp_path / "a.png", 12), deep(tmp_path / "b.png", 8)
    depth = found(bright).depth
    assert decode_image(dark, depth).max() == pytest.approx(255 * 255 / 4095)
    assert decode_image(dark).dtype == np.uint8  # alone it is one of 8 bits


def test_more_than_8_bits_reach_the_network_and_8_and_16_stay_bytes(tmp_path: Path):
    ramp = np.tile(np.arange(4096, dtype=np.uint16)[::8], (64, 1))
    path = png(tmp_path / "a.png", ramp)
    wide = {"resize": "stretch", "height": 64, "width": 512}
    loaded = load_image(path, Geometry(**wide, bits=12)).pixels
    assert loaded.dtype == np.float32 and len(np.unique(loaded)) == 512
    assert np.allclose(loaded[..., 1], ramp * (255 / 4095))
    full = png(tmp_path / "b.png", GREY.astype(np.uint16) * 257)
    Image.fromarray(GREY).save(tmp_path / "c.png")
    for geometry in (
        Geometry(**STRETCH),
        Geometry(**STRETCH, bits=16),
        Geometry(**STRETCH, bits=12),
    ):
        pixels = load_image(tmp_path / "c.png", geometry).pixels
        assert pixels.dtype == np.uint8
        if not geometry.depth.deep:
            assert np.array_equal(load_image(full, geometry).pixels, pixels)
    eight = png(tmp_path / "d.png", GREY.astype(np.uint16))
    assert np.array_equal(
        load_image(eight, Geometry(**STRETCH, bits=8)).pixels,
        load_image(tmp_path / "c.png", Geometry(**STRETCH)).pixels,
    )


def test_resized_values_stay_within_black_and_white(tmp_path: Path):
    checks = np.kron(RNG.integers(0, 2, (9, 9)), np.full((5, 5), 4095))
    pixels = load_image(png(tmp_path / "a.png", checks), Geometry(**STRETCH, bits=12)).pixels
    assert pixels.min() == 0 and pixels.max() == 255


def test_values_beyond_white_stay_beyond_and_are_told_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(decoded, "_TOLD", set())
    caplog.set_level(logging.WARNING, "cfa_lab")
    path = png(tmp_path / "a.png", np.full((4, 4), 2046))
    for _ in range(2):
        assert np.allclose(decode_image(path, Depth(10)), 510)
    (line,) = caplog.messages
    assert "a.png has values up to 2046, above 1023" in line


def test_floating_point_needs_a_range_from_the_files_or_a_key(tmp_path: Path):
    values = RNG.random((16, 16)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values)
    with pytest.raises(UserError, match=r"a\.tif: grey .*image\.range=\[0,1\].*values go from 0"):
        found(tmp_path / "a.tif")
    depth = found(tmp_path / "a.tif", span=[0, 1]).depth
    assert np.allclose(decode_image(tmp_path / "a.tif", depth)[..., 2], values * 255, atol=1e-4)
    tags = [(340, "f", 1, 0.0, True), (341, "f", 1, 2.0, True)]
    tifffile.imwrite(tmp_path / "b.tif", values, metadata=None, extratags=tags)
    assert found(tmp_path / "b.tif").depth == Depth(None, (0.0, 2.0))
    assert np.allclose(decode_image(tmp_path / "b.tif")[..., 0], values * 127.5, atol=1e-4)
    values[3, 3] = np.nan
    tifffile.imwrite(tmp_path / "c.tif", values)
    with pytest.raises(UserError, match=r"c\.tif: it holds values that are no finite numbers"):
        decode_image(tmp_path / "c.tif", depth)


def test_a_range_counts_for_whole_numbers_too(tmp_path: Path):
    """A thermal camera uses a band of its 14 bits; other sensors give 32, or negative numbers."""
    values = RNG.integers(7000, 9001, (16, 16))
    depth = Depth(range=(7000, 9000))
    for name, kind in (("a.tif", np.uint16), ("b.tif", np.int32), ("c.tif", np.uint16)):
        options: dict[str, Any] = {"photometric": "miniswhite"} if name == "c.tif" else {}
        tifffile.imwrite(tmp_path / name, values.astype(kind), **options)
        expected = (values - 7000) * 255 / 2000
        expected = 255 - expected if options else expected
        assert np.allclose(decode_image(tmp_path / name, depth)[..., 0], expected, atol=1e-3)
    tifffile.imwrite(tmp_path / "d.tif", np.array([[-100, 100]], dtype=np.int16))
    assert np.allclose(
        decode_image(tmp_path / "d.tif", Depth(range=(-100, 100)))[0, :, 0], [0, 255]
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("image.bits=7", "image.bits is 7; allowed: 8 to 16"),
        ("image.bits=17", "image.bits is 17; allowed: 8 to 16"),
        ("image.range=[1,1]", "image.range is .* must be two numbers, the first below"),
        ("image.range=[0,1,2]", "image.range"),
    ],
)
def test_wrong_settings_are_refused(override: str, said: str):
    with pytest.raises(UserError, match=said):
        compose([override])


def test_images_that_differ_in_their_lower_bits_are_no_twins(tmp_path: Path):
    first = png(tmp_path / "a.png", np.full((4, 4), 500))
    second = png(tmp_path / "b.png", np.full((4, 4), 501))
    same = tmp_path / "c.tif"
    tifffile.imwrite(same, np.full((4, 4), 500, dtype=np.uint16), compression="zlib")
    hashes = contents([first, second, same], workers=1)
    assert hashes[0] == hashes[2] != hashes[1]


def test_features_of_a_file_that_says_its_depth_are_kept_apart(tmp_path: Path):
    plain, said = tmp_path / "a.png", tmp_path / "b.png"
    png(plain, GREY)
    png(said, GREY, significant=12)
    assert depth_mark(plain, Depth()) == depth_mark(said, Depth(12)) == ""
    assert len({depth_mark(said, Depth()), depth_mark(said, Depth(16)), ""}) == 3


@pytest.fixture
def shallow(tmp_path: Path) -> Path:
    write_tiny(tmp_path / "data" / "square", num_train=4)
    return tmp_path / "data"


def with_bits(root: Path, bits: int, *, scale: int | None = None) -> Path:
    """The same data set in files of 16 bits, of which some count."""
    made = root.with_name(f"data{bits}")
    for path in root.rglob("*.png"):
        target = made / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        values = np.asarray(Image.open(path))
        if "ground_truth" not in str(path):
            values = values.astype(np.uint16) * (scale or 2 ** (bits - 8))
            png(target, values)
        else:
            Image.fromarray(values).save(target)
    return made


def settings(root: Path, *more: str) -> list[str]:
    return [*TINY_RUN, f"dataset.root={root}", "features.cache=false", *more]


def scored(root: Path, folder: Path, *more: str) -> dict[str, Any]:
    run(compose(settings(root, *more)), folder)
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.slow
def test_a_run_of_12_bits_is_that_of_8_and_says_so(shallow: Path, tmp_path: Path):
    eight = scored(shallow, tmp_path / "r8")
    twelve = scored(with_bits(shallow, 12), tmp_path / "r12")
    assert eight["protocol"]["image_bits"] == 8 and twelve["protocol"]["image_bits"] == 12
    assert "largest value over the training images" in twelve["protocol"]["image_bits_from"]
    for name in ("test/image_auroc", "test/pixel_auroc"):
        assert twelve["metrics"][name] == pytest.approx(eight["metrics"][name], abs=0.03)
    model = json.loads((tmp_path / "r12/model.json").read_text())
    assert model["image"]["bits"] == 12
    assert "bits" not in json.loads((tmp_path / "r8/model.json").read_text())["image"]


def test_true_16_bits_give_the_bits_and_keys_of_8(shallow: Path, tmp_path: Path):
    eight = scored(shallow, tmp_path / "r8")
    sixteen = scored(with_bits(shallow, 16, scale=257), tmp_path / "r16")
    assert sixteen["protocol"]["image_bits"] == 16
    assert sixteen["metrics"] == {**eight["metrics"]}
    texts = [(tmp_path / name / "predictions.csv").read_text() for name in ("r8", "r16")]
    assert texts[0] == texts[1]
    plain = prepare(compose(settings(shallow)))
    full = prepare(compose(settings(shallow.with_name("data16"))))
    assert plain.extractor.identity() == full.extractor.identity()


@pytest.mark.parametrize(
    "kind",
    ["run", *(pytest.param(k, marks=pytest.mark.slow) for k in ("onnx", "torch", "openvino"))],
)
def test_a_model_reads_a_photograph_by_the_bits_of_its_training(
    shallow: Path, tmp_path: Path, kind: str, exported: Callable[[Path, str], Path]
):
    root = with_bits(shallow, 12)
    scored(root, tmp_path / "run")
    path = tmp_path / "run" if kind == "run" else exported(tmp_path / "run", kind)
    photograph = root / "square/test/good/000.png"
    rows = (tmp_path / "run/predictions.csv").read_text().splitlines()
    own = next(float(row.split(",")[3]) for row in rows if "good/000" in row)
    model = load(path, num_threads=1)
    values = np.asarray(Image.open(photograph)).astype(np.uint16)
    scores = model.predict([str(photograph), values, Image.fromarray(values)]).scores
    assert scores == pytest.approx(own, rel=1e-4)
    assert model.predict(values >> 2).scores != pytest.approx(own, rel=1e-2)


@pytest.fixture
def exported():
    from cfa_lab.deploy.exporting import export
    from cfa_lab.deploy.runtime_torch import load_run

    suffix = {"onnx": ".onnx", "torch": ".pt2", "openvino": ".xml"}

    def write(folder: Path, kind: str) -> Path:
        pytest.importorskip({"onnx": "onnxruntime"}.get(kind, kind))
        out = folder.parent / f"model{suffix[kind]}"
        export(load_run(folder), folder, out, kind=kind)
        return out

    return write


def test_the_key_goes_before_what_is_found_and_decides_the_run(shallow: Path, tmp_path: Path):
    root = with_bits(shallow, 12)
    by_itself, by_key, wider = (
        prepare(compose(settings(root, *more)))
        for more in ([], ["image.bits=12"], ["image.bits=14"])
    )
    assert by_key.depth.origin == "image.bits" and wider.depth.bits == 14
    assert by_itself.extractor.geometry.depth.span() == by_key.extractor.geometry.depth.span()
    assert len({one.run_key for one in (by_itself, by_key, wider)}) == 3
