"""The pictures of a report: runs' figures of worst cases, small enough to stand in the page."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cfa_lab.records import names
from cfa_lab.records.figures import (
    CASE_FIGURES,
    FALSE_POSITIVE,
    MISS,
    PICTURE_BOXES,
    CaseFigure,
)
from cfa_lab.report.collect import RecordedRun, Study
from cfa_lab.texts import parse_json

if TYPE_CHECKING:
    from PIL import Image

GROUPS = (MISS, FALSE_POSITIVE)
LONGEST_SIDE = 1100
"""Pixels."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One figure of a run as a data URI."""

    run: RecordedRun
    caption: str
    uri: str
    words: str | None
    """The same with its pictures left white, where the figure says where they lie; `uri` then holds
    these alone, so that a dark page can turn the words over and leave the pictures."""
    size: tuple[int, int]
    """Width and height, in pixels."""


def choose_pictures(study: Study, most: int) -> Iterator[Picture]:
    """At most `most` pictures: each category's first seed in each setting, setting by setting.

    So every category is shown before a second setting is. Chosen by name, never by results.
    """
    left = most
    for setting in study.settings:
        for category in study.categories:
            runs = [r for r in study.runs if r.setting == setting and r.category == category]
            for run in runs[:1]:  # sorted by seed
                for group in GROUPS:
                    if left <= 0:
                        return
                    picture = _load(run, CASE_FIGURES[group])
                    if picture is not None:
                        left -= 1
                        yield picture


def _load(run: RecordedRun, figure: CaseFigure) -> Picture | None:
    from PIL import Image

    try:
        with Image.open(run.files / names.FIGURES / figure.file) as opened:
            image = opened.convert("RGB")
            boxes = _boxes(opened.info.get(PICTURE_BOXES), image.size)
    except Exception:  # not drawn, as without a normal test image, or damaged: that raises anything
        return None
    caption = figure.title[0].lower() + figure.title[1:]
    words = None
    if boxes:
        ground, image = image, image.convert("RGBA")
        inside = Image.new("L", image.size, 0)
        for box in boxes:
            inside.paste(255, box)
        image.putalpha(inside)
        ground.paste("white", mask=inside)
        words = _uri(_small(ground), lossless=True)
    image = _small(image)
    return Picture(
        run=run, caption=caption, uri=_uri(image, quality=80), words=words, size=image.size
    )


def _boxes(text: object, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Where a figure has pictures; nowhere in particular in one that does not say so rightly."""
    try:
        boxes = [(int(x), int(y), int(r), int(b)) for x, y, r, b in parse_json(str(text))]
    except (TypeError, ValueError, OverflowError):
        return []
    width, height = size
    inside = all(0 <= x < right <= width and 0 <= y < b <= height for x, y, right, b in boxes)
    return boxes if inside else []


def _small(image: "Image.Image") -> "Image.Image":
    image.thumbnail((LONGEST_SIDE, 4 * LONGEST_SIDE))
    return image


def _uri(image: "Image.Image", **packing: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", method=2, **packing)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
