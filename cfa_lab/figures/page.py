"""A page of pictures and words, painted with Pillow: over pictures matplotlib takes seconds."""

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from cfa_lab.figures.style import INK
from cfa_lab.files import replacing
from cfa_lab.records.figures import PICTURE_BOXES

POINT = 72
"""Points of an inch."""
COMPRESSION = 4
"""Of PNG: photographs take a third less time to pack than at 6, for a fiftieth more bytes."""


class Written(NamedTuple):
    """One line of text and its box on the page, in pixels."""

    text: str
    box: tuple[float, float, float, float]
    colour: str


@dataclass
class Page:
    """A white page addressed in inches from its upper left corner.

    `words` lists what has been written, for whoever asks what the page says, and `boxes` where
    pictures lie: left, top, right and bottom in pixels.
    """

    width: float
    height: float
    dots_per_inch: int
    words: list[Written] = field(default_factory=list)
    boxes: list[tuple[int, int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.picture = Image.new(
            "RGB", (self.pixels(self.width), self.pixels(self.height)), "white"
        )
        self._draw = ImageDraw.Draw(self.picture)

    def pixels(self, inches: float) -> int:
        """A length in whole pixels."""
        return round(inches * self.dots_per_inch)

    def paste(
        self,
        picture: np.ndarray,
        left: float,
        top: float,
        width: float,
        height: float,
        *,
        is_ground: bool = False,
    ) -> tuple[int, int, int, int]:
        """Put a picture (h, w, 3) uint8 into the middle of a box, as large as its shape allows.

        Returns its own box in pixels: left, top, right, bottom. `is_ground`: it is a plain field to
        write on, and goes with the page's ground.
        """
        scale = min(self.pixels(width) / picture.shape[1], self.pixels(height) / picture.shape[0])
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        x = self.pixels(left) + (self.pixels(width) - size[0]) // 2
        y = self.pixels(top) + (self.pixels(height) - size[1]) // 2
        image = Image.fromarray(picture)
        if image.size != size:
            image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        self.picture.paste(image, (x, y))
        box = (x, y, x + size[0], y + size[1])
        if not is_ground:
            self.boxes.append(box)
        return box

    def fill(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        """Fill a box, at least one pixel wide and high."""
        x, y = self.pixels(left), self.pixels(top)
        end = (max(x, self.pixels(right) - 1), max(y, self.pixels(bottom) - 1))
        self._draw.rectangle((x, y, *end), fill=colour)

    def write(
        self,
        left: float,
        baseline: float,
        text: str,
        *,
        size: float,
        colour: str = INK,
        bold: bool = False,
        anchor: str = "l",
        width: float | None = None,
    ) -> float:
        """Write one line and return where it ends; its middle is left out beyond `width` inches.

        `size` is in points; `anchor` is Pillow's: l, m or r for the end that `left` means.
        """
        known, font = _characters(bold), _font(bold, size * self.dots_per_inch / POINT)
        given = "".join(sign if ord(sign) in known else "?" for sign in text)
        line, num_characters = given, len(given)
        while width is not None and num_characters > 2:
            if font.getlength(line) <= width * self.dots_per_inch:
                break
            num_characters -= 1
            line = _shorten(given, num_characters)
        place = (left * self.dots_per_inch, baseline * self.dots_per_inch)
        self._draw.text(place, line, fill=colour, font=font, anchor=f"{anchor}s")
        box = self._draw.textbbox(place, line, font=font, anchor=f"{anchor}s")
        self.words.append(Written(line, box, colour))
        return box[2] / self.dots_per_inch

    def save(self, path: Path) -> None:
        """Write the page, complete or not at all; missing folders are made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = path.suffix.lower()
        # to ask for all imports Pillow's 40 kinds of files, and an open image has brought the usual
        kind = Image.EXTENSION.get(suffix) or Image.registered_extensions()[suffix]
        with replacing(path) as partial:
            dots = (self.dots_per_inch, self.dots_per_inch)
            told = PngInfo()
            told.add_text(PICTURE_BOXES, json.dumps(self.boxes))
            packing = {"compress_level": COMPRESSION, "pnginfo": told} if kind == "PNG" else {}
            self.picture.save(partial, kind, dpi=dots, **packing)


def _shorten(text: str, num_characters: int) -> str:
    """The text without its middle, for which an ellipsis stands."""
    head = num_characters // 2
    return f"{text[:head]}…{text[len(text) - (num_characters - head - 1) :]}"


def _font_file(bold: bool) -> str:
    """The font of all figures, as matplotlib brings it."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name)


@lru_cache(maxsize=16)
def _font(bold: bool, pixels: float) -> ImageFont.FreeTypeFont:
    # The plain layout engine: whether the other one is there differs from machine to machine.
    return ImageFont.truetype(_font_file(bold), pixels, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=2)
def _characters(bold: bool) -> frozenset[int]:
    """The code points that the font has a shape for."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(_font_file(bold)).get_charmap())
