"""Image files to network inputs: decoding and resizing, beside another checkout of this project."""

import json
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from cfa_lab.bench.processes import run_command
from cfa_lab.bench.report import new_parser, show
from cfa_lab.errors import UserError
from cfa_lab.files import user_path

TURNS = 5
NUM_FILES = 20
"""Different files of each kind, which are read again and again."""
HERE = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("decode_timed.py")


def run_bench_decode(
    *, num_images: int = 1000, pixels: int = 320, size: int = 256, beside: Path | None = None
) -> dict[str, Any]:
    """Read `num_images` files of each kind, of `pixels` a side, to inputs of `size`.

    In one thread, by the processor's time, so that other work beside it counts little: the least of
    some turns, each a part of the images. `beside` is a checkout whose reader takes turns. Returns
    `setting` and `results` with `seconds` an image and, with `beside`, the `other` and the `ratio`
    to it.
    """
    if beside is not None and not (beside / "cfa_lab").is_dir():
        raise UserError(f"--beside is {beside}; it must be a checkout of this project")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_files(folder, pixels)
        checkouts = {"seconds": HERE} | ({"other": beside} if beside is not None else {})
        results: dict[str, dict[str, Any]] = {}
        count = max(1, num_images // TURNS)
        for _ in range(TURNS):
            for name, checkout in checkouts.items():
                for kind, seconds in _timed(checkout, folder, count, size).items():
                    result = results.setdefault(kind, {})
                    result[name] = min(seconds, result.get(name, seconds))
    for result in results.values():
        if beside is not None:
            result["ratio"] = result["seconds"] / result["other"]
    return {
        "setting": {"num_images": num_images, "pixels": pixels, "size": size},
        "results": results,
    }


def _timed(checkout: Path, folder: Path, num_images: int, size: int) -> dict[str, float]:
    arguments = (folder, str(num_images), str(size))
    before = f"import sys; sys.path.insert(0, {str(checkout.resolve())!r})\n"  # goes before the cwd
    program = before + PROGRAM.read_text(encoding="utf-8")
    done = run_command([sys.executable, "-c", program, *arguments], environment={})
    return json.loads(done.output.splitlines()[-1])


def write_files(folder: Path, pixels: int) -> None:
    """Write made-up textures as files of every kind, a folder each."""
    generator = np.random.default_rng(0)
    for i in range(NUM_FILES):
        texture = gaussian_filter(generator.standard_normal((pixels, pixels, 3)), (3, 3, 0))
        values = 0.5 + 0.12 * texture / texture.std() + generator.normal(0, 0.01, texture.shape)
        values = values.clip(0, 1)
        eight, twelve, full = (
            np.rint(values * most).astype(kind)
            for most, kind in ((255, np.uint8), (4095, np.uint16), (65535, np.uint16))
        )
        name = f"{i:03}"
        for kind in KINDS:
            (folder / kind).mkdir(exist_ok=True)
        Image.fromarray(eight).save(folder / "JPEG, 8 bits" / f"{name}.jpg", quality=92)
        Image.fromarray(eight).save(folder / "PNG, 8 bits" / f"{name}.png")
        Image.fromarray(eight[..., 0]).save(folder / "PNG, grey, 8 bits" / f"{name}.png")
        write_png(folder / "PNG, grey, 16 bits" / f"{name}.png", full[..., 0])
        write_png(folder / "PNG, grey, 12 of 16 bits" / f"{name}.png", twelve[..., 0])
        write_png(folder / "PNG, 16 bits" / f"{name}.png", full)
        write_png(folder / "PNG, 12 of 16 bits" / f"{name}.png", twelve)
        tifffile.imwrite(folder / "TIFF, grey, 12 of 16 bits" / f"{name}.tif", twelve[..., 0])
        for kind, packing in (("TIFF", None), ("TIFF, deflate", "zlib")):
            path = folder / f"{kind}, 12 of 16 bits" / f"{name}.tif"
            tifffile.imwrite(path, twelve, photometric="rgb", compression=packing)


KINDS = (
    *("JPEG, 8 bits", "PNG, 8 bits", "PNG, grey, 8 bits", "PNG, grey, 16 bits", "PNG, 16 bits"),
    *("PNG, grey, 12 of 16 bits", "TIFF, grey, 12 of 16 bits", "PNG, 12 of 16 bits"),
    *("TIFF, 12 of 16 bits", "TIFF, deflate, 12 of 16 bits"),
)


def write_png(path: Path, values: np.ndarray) -> None:
    """Write values (h, w) or (h, w, 3) as a PNG of 16 bits, which Pillow does of grey only."""
    height, width = values.shape[:2]
    rows = np.frombuffer(values.astype(">u2").tobytes(), np.uint8).reshape(height, -1)
    up = rows.copy()
    up[1:] -= rows[:-1]  # the filter "up", number 2
    header = b"".join(n.to_bytes(4, "big") for n in (width, height))
    chunks = {
        b"IHDR": header + bytes([16, 2 if values.ndim == 3 else 0, 0, 0, 0]),
        b"IDAT": zlib.compress(np.pad(up, ((0, 0), (1, 0)), constant_values=2).tobytes()),
        b"IEND": b"",
    }
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, content in chunks.items():
            file.write(len(content).to_bytes(4, "big") + name + content)
            file.write(zlib.crc32(name + content).to_bytes(4, "big"))


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench decode`: print the comparison, and write it with `--json`."""
    parser = new_parser("decode", __doc__)
    parser.add_argument("--images", type=int, default=1000, help="files of each kind")
    parser.add_argument("--pixels", type=int, default=320, help="a side of the files' images")
    parser.add_argument("--size", type=int, default=256, help="a side of the network's input")
    parser.add_argument("--beside", type=user_path, help="a checkout whose reader is measured too")
    options = parser.parse_args(argv)
    report = run_bench_decode(
        num_images=options.images, pixels=options.pixels, size=options.size, beside=options.beside
    )
    columns = {"ms per image": lambda result: f"{1000 * result['seconds']:.2f}"}
    if options.beside:
        columns |= {
            "the other": lambda result: f"{1000 * result['other']:.2f}",
            "times as long": lambda result: f"{result['ratio']:.2f}",
        }
    show(f"{options.images} files of {options.pixels} px, read", report, columns, options.json)
