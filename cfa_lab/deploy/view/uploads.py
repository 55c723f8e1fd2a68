"""Images that somebody hands to the page: decoded by us, nothing else is done with them."""

from pathlib import Path

from PIL import Image

from cfa_lab.data.decoded import Decoded, decode
from cfa_lab.data.depth import Depth
from cfa_lab.data.layouts.folders import IMAGE_SUFFIXES
from cfa_lab.errors import UserError

MAX_BYTES = 64 * 2**20
"""Of an uploaded file."""
MAX_PIXELS = 80_000_000
"""Of an uploaded image; a small file can hold more than memory has room for."""
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
"""Pillow's names. It knows more, some of which call other programs."""


def read_upload(path: Path, depth: Depth) -> Decoded:
    """Decode an uploaded file and delete it; raises UserError for what is no image."""
    name = path.name
    try:
        if not name.lower().endswith(IMAGE_SUFFIXES):
            raise UserError(f"{name} is no image by its name; allowed: {', '.join(IMAGE_SUFFIXES)}")
        try:
            with Image.open(path, formats=FORMATS) as file:
                num_pixels = file.width * file.height
        except Exception as error:  # decoders raise anything on damaged bytes
            raise UserError(
                f"{name} cannot be read: no image of an allowed format "
                f"({', '.join(FORMATS)}), or damaged at its start"
            ) from error
        if num_pixels > MAX_PIXELS:
            raise UserError(
                f"{name} has {num_pixels / 1e6:.0f} million pixels; allowed here: "
                f"{MAX_PIXELS / 1e6:.0f} million; score it with python -m cfa_lab predict"
            )
        try:
            return decode(path, depth)
        except UserError as error:
            reason = str(error).replace(str(path), name).partition("; replace the file")[0]
            raise UserError(f"{reason}; upload another") from error
    finally:
        path.unlink(missing_ok=True)
