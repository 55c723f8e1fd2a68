"""The pictures of a report: runs' figures of worst cases, small enough to stand in the page."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

from cfa_lab.records import names
from cfa_lab.records.figures import CASE_FIGURES, FALSE_POSITIVE, MISS, CaseFigure
from cfa_lab.report.collect import RecordedRun, Study

GROUPS = (MISS, FALSE_POSITIVE)
LONGEST_SIDE = 1100
"""Pixels."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One figure of a run as a data URI."""

    run: RecordedRun
    caption: str
    uri: str
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
    except Exception:  # not drawn, as without a normal test image, or damaged: that raises anything
        return None
    image.thumbnail((LONGEST_SIDE, 4 * LONGEST_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80, method=2)
    text = base64.b64encode(buffer.getvalue()).decode()
    caption = figure.title[0].lower() + figure.title[1:]
    return Picture(run=run, caption=caption, uri=f"data:image/webp;base64,{text}", size=image.size)
