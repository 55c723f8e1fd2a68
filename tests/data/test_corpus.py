"""Small files over format, depth, channels, orientation, compression and oddities of tags.

Each with the grey values it must give, computed from what was written, never by reading a file.
"""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers.deep_files import png, tiff
from PIL import Image

from cfa_lab.data import Geometry, decode_image, load_image
from cfa_lab.data.depth import Depth

RNG = np.random.default_rng(17)
HEIGHT, WIDTH = 19, 27
BYTES = RNG.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
GREY, COLOUR = BYTES[..., 0], BYTES[..., :3]
SLOW = np.linspace(20, 235, 48)[:, None] * np.linspace(0.6, 1, 64)[None]
"""Smooth enough for JPEG to keep."""
ORIENTATION = 0x0112
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
"""What must be done with the stored rows so that the picture stands upright (EXIF 2.3, 4.6.4)."""


BY_ITSELF, DEEP, RANGE = Depth(), Depth(12), Depth(range=(5000, 9095))


@dataclass(frozen=True)
class File:
    """A file, how it is written, and its values; `by` is its data set's depth."""

    name: str
    write: Callable[[Path], object]
    expected: np.ndarray
    by: Depth = BY_ITSELF
    within: float = 0

    def __str__(self) -> str:
        return self.name


def deep(bits: int, channels: int = 1) -> np.ndarray:
    values = RNG.integers(0, 2**bits, (HEIGHT, WIDTH, channels), dtype=np.uint16)
    return values[..., 0] if channels == 1 else values


def white(values: np.ndarray, most: float) -> np.ndarray:
    """Values as they must come out where `most` is white."""
    return np.asarray(values)[..., :3] * (255 / most) if values.ndim == 3 else values * (255 / most)


def pillow(pixels: np.ndarray | Image.Image, **options) -> Callable[[Path], object]:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    return lambda path: image.save(path, **options)


def by_tifffile(values: np.ndarray, **options) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, values, **options)


def raw(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def pngs() -> Iterator[File]:
    for channels, name in ((1, "grey"), (2, "grey-alpha"), (3, "rgb"), (4, "rgba")):
        eight = BYTES[..., 0] if channels == 1 else BYTES[..., :channels]
        seen = eight[..., 0] if channels == 2 else eight
        yield File(f"{name}-8.png", lambda p, v=eight: png(p, v, bits=8), seen)
        full = deep(16, channels)
        seen = full[..., 0] if channels == 2 else full
        yield File(f"{name}-16.png", lambda p, v=full: png(p, v), seen >> 8, Depth(16))
        for bits in (10, 12, 14):
            some = deep(bits, channels)
            seen = some[..., 0] if channels == 2 else some
            expected = white(seen, 2**bits - 1)
            yield File(
                f"{name}-{bits}-in-16.png", lambda p, v=some: png(p, v), expected, Depth(bits), 1e-3
            )
        some = deep(12, channels)
        seen = some[..., 0] if channels == 2 else some
        yield File(
            f"{name}-sbit-12.png",
            lambda p, v=some: png(p, v, significant=12),
            white(seen, 4095),
            Depth(10),
            1e-3,
        )
        yield File(
            f"{name}-stretched-12.png",
            lambda p, v=some: png(p, v << 4, significant=12),
            (seen << 4) >> 8,
            Depth(16),
        )
        yield File(
            f"{name}-interlaced-12.png",
            lambda p, v=some: png(p, v, interlaced=True),
            white(seen, 4095),
            Depth(12),
            1e-3,
        )
    for filtering in range(5):
        some = deep(12, 3)
        yield File(
            f"filter-{filtering}-rgb-12.png",
            lambda p, v=some, f=filtering: png(p, v, filtering=f),
            white(some, 4095),
            Depth(12),
            1e-3,
        )
        yield File(
            f"filter-{filtering}-grey-8.png",
            lambda p, f=filtering: png(p, GREY, bits=8, filtering=f),
            GREY,
        )
    for bits in (1, 2, 4):
        few = GREY >> (8 - bits)
        yield File(
            f"grey-{bits}.png", lambda p, v=few, b=bits: png(p, v, bits=b), white(few, 2**bits - 1)
        )
        table = RNG.integers(0, 256, (2**bits, 3))
        yield File(
            f"palette-{bits}.png",
            lambda p, v=few, b=bits, t=table: png(p, v, bits=b, palette=t),
            table[few],
        )
    table = RNG.integers(0, 256, (256, 3))
    clear = [(b"tRNS", bytes(range(256)))]
    yield File("palette-8.png", lambda p: png(p, GREY, bits=8, palette=table), table[GREY])
    yield File(
        "palette-clear.png",
        lambda p: png(p, GREY, bits=8, palette=table, chunks=clear),
        table[GREY],
    )
    twelve = deep(12)
    for name, extra in {
        "gamma": (b"gAMA", (45455).to_bytes(4, "big")),
        "srgb": (b"sRGB", b"\0"),
        "text": (b"tEXt", b"Comment\0sBIT IDAT"),
        "density": (b"pHYs", (2835).to_bytes(4, "big") * 2 + b"\1"),
        "clear": (b"tRNS", b"\0\7"),
        "background": (b"bKGD", b"\0\7"),
    }.items():
        yield File(
            f"{name}-12.png",
            lambda p, e=extra: png(p, twelve, chunks=[e]),
            white(twelve, 4095),
            Depth(12),
            1e-3,
        )
        if name != "clear":
            yield File(f"{name}-8.png", lambda p, e=extra: png(p, GREY, bits=8, chunks=[e]), GREY)
    yield File("8-in-16.png", lambda p: png(p, GREY), GREY, Depth(8))
    yield File("a-png.jpg", lambda p: png(p, GREY, bits=8), GREY)
    yield File("range.png", lambda p: png(p, twelve + 5000), white(twelve, 4095), RANGE, 1e-3)


def tiffs() -> Iterator[File]:
    bytes_ = {"grey": GREY, "rgb": COLOUR}
    for order, name in (("<", "little"), (">", "big")):
        for kind, eight in bytes_.items():
            form = {"photometric": "minisblack" if kind == "grey" else "rgb", "byteorder": order}
            channels = 1 if kind == "grey" else 3
            full, some = deep(16, channels), deep(12, channels)
            for packing in (None, "zlib"):
                said = {**form, "compression": packing}
                tail = f"{kind}-{name}-{packing or 'plain'}"
                yield File(f"{tail}-8.tif", by_tifffile(eight, **said), eight)
                yield File(f"{tail}-16.tif", by_tifffile(full, **said), full >> 8, Depth(16))
                yield File(
                    f"{tail}-12.tif", by_tifffile(some, **said), white(some, 4095), Depth(12), 1e-3
                )
            yield File(
                f"{kind}-{name}-tiles-12.tif",
                by_tifffile(some, **form, tile=(16, 16)),
                white(some, 4095),
                Depth(12),
                1e-3,
            )
    twelve, colours = deep(12), deep(12, 3)
    yield File(
        "predictor-12.tif",
        by_tifffile(colours, photometric="rgb", compression="zlib", predictor=True),
        white(colours, 4095),
        Depth(12),
        1e-3,
    )
    for packing in ("tiff_lzw", "packbits", "tiff_deflate", "raw"):
        for kind, eight in bytes_.items():
            yield File(f"{packing}-{kind}-8.tif", pillow(eight, compression=packing), eight)
        yield File(
            f"{packing}-12.tif",
            pillow(twelve, compression=packing),
            white(twelve, 4095),
            Depth(12),
            1e-3,
        )
    yield File("packed-12.tif", lambda p: tiff(p, twelve, 12), white(twelve, 4095), Depth(16), 0.51)
    yield File("packed-12-deep.tif", lambda p: tiff(p, twelve, 12), white(twelve, 4095), DEEP, 1e-3)
    yield File("bigtiff.tif", by_tifffile(twelve, bigtiff=True), white(twelve, 4095), DEEP, 1e-3)
    strips = by_tifffile(twelve, rowsperstrip=4)
    yield File("strips.tif", strips, white(twelve, 4095), DEEP, 1e-3)
    planes = np.moveaxis(COLOUR, 2, 0)
    separate = by_tifffile(planes, photometric="rgb", planarconfig="separate")
    yield File("separate-8.tif", separate, COLOUR)
    for bits, kind in ((8, np.uint8), (16, np.uint16), (12, np.uint16)):
        values = RNG.integers(0, 2**bits, (HEIGHT, WIDTH)).astype(kind)
        most = 2**bits - 1
        seen = {8: most - values, 16: (most - values) >> 8, 12: white(most - values, most)}[bits]
        write = by_tifffile(values, photometric="miniswhite")
        yield File(
            f"white-zero-{bits}.tif", write, seen, Depth(bits) if bits > 8 else Depth(), 1e-3
        )
        values = RNG.integers(0, 2**bits, (HEIGHT, WIDTH)).astype(kind)
        seen = {8: most - values, 16: (most - values) >> 8, 12: white(most - values, most)}[bits]
        write = by_tifffile(values, photometric="miniswhite", byteorder=">")
        by = Depth(bits) if bits > 8 else Depth()
        yield File(f"white-zero-{bits}-big.tif", write, seen, by, 1e-3)
    for bits in (9, 10, 11, 12, 13, 14, 15):
        for zero in (0, 1):
            values = deep(bits)
            seen = white(values if zero else 2**bits - 1 - values, 2**bits - 1)
            yield File(
                f"packed-{bits}-{zero}.tif",
                lambda p, v=values, b=bits, z=zero: tiff(p, v, b, [(262, 3, z)]),
                seen,
                DEEP,
                1e-3,
            )
    grey_alpha = deep(12, 2)
    said = by_tifffile(grey_alpha, photometric="minisblack", extrasamples=["unassalpha"])
    yield File("grey-alpha-12.tif", said, white(grey_alpha[..., 0], 4095), DEEP, 1e-3)
    for kind in (np.float16, np.float64):
        values = RNG.integers(0, 2048, (HEIGHT, WIDTH)).astype(kind)
        by = Depth(range=(0, 2047))
        seen = white(values.astype(float), 2047)
        yield File(f"{kind.__name__}.tif", by_tifffile(values), seen, by, 1e-3)
    for kind in (np.uint32, np.int64, np.uint64):
        write = by_tifffile(twelve.astype(kind))
        yield File(f"{kind.__name__}.tif", write, white(twelve, 4095), DEEP, 1e-3)
    wide = RNG.integers(0, 2**32, (HEIGHT, WIDTH), dtype=np.uint32)
    by = Depth(range=(0, 2**32 - 1))
    yield File("all-of-uint32.tif", by_tifffile(wide), white(wide, 2**32 - 1), by, 1e-3)
    for number, turn in TURNS.items():
        tag = [(274, "H", 1, number, True)]
        said = by_tifffile(twelve, metadata=None, extratags=tag)
        yield File(f"turned-{number}-12.tif", said, turn(white(twelve, 4095)), DEEP, 1e-3)
        said = by_tifffile(
            4095 - twelve, metadata=None, extratags=tag, photometric="miniswhite", byteorder=">"
        )
        yield File(f"turned-{number}-white-zero.tif", said, turn(white(twelve, 4095)), DEEP, 1e-3)
        said = by_tifffile(colours, metadata=None, extratags=tag, photometric="rgb")
        yield File(f"turned-{number}-rgb-12.tif", said, turn(white(colours, 4095)), DEEP, 1e-3)
    alpha = deep(12, 4)
    said = by_tifffile(alpha, photometric="rgb", extrasamples=["unassalpha"])
    yield File("alpha-12.tif", said, white(alpha, 4095), DEEP, 1e-3)
    pages = by_tifffile(np.stack([GREY, 255 - GREY]), photometric="minisblack")
    yield File("pages.tif", pages, GREY)
    yield File("int32.tif", by_tifffile(twelve.astype(np.int32)), white(twelve, 4095), DEEP, 1e-3)
    signed = twelve.astype(np.int16)
    yield File("int16.tif", by_tifffile(signed), white(twelve, 4095), DEEP, 1e-3)
    parts = twelve.astype(np.float32) / 4095
    for order in "<>":
        write = by_tifffile(parts, byteorder=order, compression="zlib" if order == "<" else None)
        yield File(
            f"float{'LB'['<>'.index(order)]}.tif", write, parts * 255.0, Depth(range=(0, 1)), 1e-3
        )
    said = by_tifffile(twelve, metadata=None, extratags=[(281, "H", 1, 4095, True)])
    yield File("max-sample-value.tif", said, white(twelve, 4095), DEEP, 1e-3)
    yield File("a-tiff.png", by_tifffile(GREY), GREY)
    one = Image.fromarray(GREY > 99)
    yield File("group4.tif", pillow(one, compression="group4"), (GREY > 99) * 255)


def portable(letter: int, values: np.ndarray, most: int, comment: bytes = b"") -> bytes:
    head = b"P%d\n%s%d %d\n%d\n" % (letter, comment, values.shape[1], values.shape[0], most)
    if letter in (2, 3):
        return head + b" ".join(b"%d" % value for value in values.ravel())
    return head + values.astype(">u2" if most > 255 else "u1").tobytes()


def portables() -> Iterator[File]:
    for channels, plain, binary, suffix in ((1, 2, 5, "pgm"), (3, 3, 6, "ppm")):
        eight = GREY if channels == 1 else COLOUR
        yield File(f"plain-8.{suffix}", raw(portable(plain, eight, 255)), eight)
        yield File(f"binary-8.{suffix}", raw(portable(binary, eight, 255)), eight)
        for most in (1023, 4095, 16383):
            some = deep(most.bit_length(), channels)
            content = raw(portable(binary, some, most))
            yield File(f"binary-{most}.{suffix}", content, white(some, most), DEEP, 1e-3)
        some = deep(12, channels)
        content = raw(portable(binary, some, 65535, b"# by a camera\n"))
        yield File(f"binary-12-in-16.{suffix}", content, white(some, 4095), DEEP, 1e-3)
        full = deep(16, channels)
        content = raw(portable(binary, full, 65535))
        expected = full >> 8 if channels == 1 else np.rint(full / 257)  # Pillow rounds these
        yield File(f"binary-16.{suffix}", content, expected, Depth(16))
        content = raw(portable(plain, some, 4095))
        yield File(f"plain-4095.{suffix}", content, white(some, 4095), DEEP, 1.01)
    bits = GREY > 99
    yield File("bits.pbm", pillow(Image.fromarray(bits), format="PPM"), bits * 255)


def jpeg_2000(values: np.ndarray, bits: int, suffix: str) -> bytes:
    """A file of so many bits a sample, which Pillow does not write.

    Of one of 16 bits whose values lie around the middle the precision alone is changed: it decides
    only which number is added to the coefficients' zero.
    """
    image, buffer = Image.fromarray(values + np.uint16(2**15 - 2 ** (bits - 1))), io.BytesIO()
    image.save(buffer, "JPEG2000", no_jp2=suffix == "j2k")
    content = bytearray(buffer.getvalue())
    stream = content.index(b"\xff\x4f\xff\x51")
    content[stream + 42] = bits - 1
    if suffix == "jp2":
        content[content.index(b"ihdr") + 14] = bits - 1
    return bytes(content)


def others() -> Iterator[File]:
    for suffix in ("bmp", "webp", "jp2", "tif", "png"):
        options = {"lossless": True} if suffix == "webp" else {}
        yield File(f"rgb.{suffix}", pillow(COLOUR, **options), COLOUR)
    for suffix in ("bmp", "jp2", "gif"):
        yield File(f"grey.{suffix}", pillow(GREY), GREY)
    yield File("bits.bmp", pillow(Image.fromarray(GREY > 99)), (GREY > 99) * 255)
    full, twelve = deep(16), deep(12)
    yield File("deep.jp2", pillow(full), full >> 8, Depth(16))
    yield File("deep-12.jp2", pillow(twelve), white(twelve, 4095), DEEP, 1e-3)
    for bits in (10, 12, 14):
        some, most = deep(bits), 2**bits - 1
        for suffix in ("jp2", "j2k"):
            content = raw(jpeg_2000(some, bits, suffix))
            by = Depth(16) if bits == 12 else DEEP  # either way, as the file says it
            yield File(f"precise-{bits}.{suffix}", content, white(some, most), by, 0.51)
            yield File(f"deep-precise-{bits}.{suffix}", content, white(some, most), DEEP, 1e-3)
    table = RNG.integers(0, 256, (256, 3)).astype(np.uint8)
    palette = Image.fromarray(GREY)
    palette.putpalette(table.tobytes())
    yield File("palette.gif", pillow(palette), table[GREY])
    yield File("palette.bmp", pillow(palette), table[GREY])
    yield File(
        "animated.gif",
        pillow(Image.fromarray(GREY), save_all=True, append_images=[Image.new("L", (27, 19))]),
        GREY,
    )
    smooth = np.rint(SLOW).astype(np.uint8)
    three = np.stack([smooth, smooth[::-1], 255 - smooth], axis=2)
    for quality in (80, 97):
        for name, more in {"plain": {}, "progressive": {"progressive": True}}.items():
            said = {"quality": quality, **more}
            yield File(f"{name}-{quality}-grey.jpg", pillow(smooth, **said), smooth, within=4)
            whole = {**said, "subsampling": 0}
            yield File(f"{name}-{quality}-rgb.jpeg", pillow(three, **whole), three, within=6)
    cmyk = Image.fromarray(COLOUR).convert("CMYK")
    yield File("cmyk.tif", pillow(cmyk), COLOUR)
    for number, turn in TURNS.items():
        exif = Image.Exif()
        exif[ORIENTATION] = number
        for suffix, pixels, options in (
            ("png", COLOUR, {}),
            ("webp", COLOUR, {"lossless": True}),
            ("jpg", smooth, {"quality": 97}),
        ):
            yield File(
                f"turned-{number}.{suffix}",
                pillow(pixels, exif=exif, **options),
                turn(pixels),
                within=4 if suffix == "jpg" else 0,
            )
        twelve = deep(12, 3)
        said = [(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))]
        yield File(
            f"turned-{number}-12.png",
            lambda p, v=twelve, s=said: png(p, v, chunks=s),
            turn(white(twelve, 4095)),
            DEEP,
            1e-3,
        )


CORPUS = [*pngs(), *tiffs(), *portables(), *others()]


def test_there_are_120_files_and_more():
    assert len({file.name for file in CORPUS}) == len(CORPUS) >= 120


@pytest.mark.parametrize("file", CORPUS, ids=str)
def test_a_file_gives_its_values(file: File, tmp_path: Path):
    path = tmp_path / file.name
    file.write(path)
    expected = np.asarray(file.expected, dtype=float)
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=2)
    found = decode_image(path, file.by)
    assert found.shape == expected[..., :3].shape
    assert found.dtype in (np.uint8, np.float32)
    assert np.abs(found - expected[..., :3]).max() <= file.within
    size = {"height": found.shape[0], "width": found.shape[1]}
    geometry = Geometry(resize="stretch", **size, bits=file.by.bits, range=file.by.range)
    assert np.array_equal(load_image(path, geometry).pixels, found)


def test_all_of_them_are_read_in_under_20_seconds(tmp_path: Path):
    for file in CORPUS:
        file.write(tmp_path / file.name)
    began = time.process_time()
    for file in CORPUS:
        decode_image(tmp_path / file.name, file.by)
    assert time.process_time() - began < 20
