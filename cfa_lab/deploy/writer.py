"""What is written for each scored image: overlay, map and row, beside the scoring of the next."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image

from cfa_lab.deploy.findings import judge
from cfa_lab.deploy.intake import Intake
from cfa_lab.deploy.runtime import Scored
from cfa_lab.deploy.scan import Result
from cfa_lab.deploy.table import PredictionTable, row_of
from cfa_lab.figures.panels import LONGEST_SIDE, render_overlay
from cfa_lab.files import replacing
from cfa_lab.records import names
from cfa_lab.records.maps import write_map

MAX_WAITING = 64
"""Images scored and not yet written; scoring waits for the disk beyond."""
JPEG_QUALITY = 90  # an overlay as PNG takes longer to write than to draw
OVERLAYS, ELSEWHERE = "overlays", "elsewhere"


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What is wanted of each image, and where."""

    folder: Path
    image_threshold: float | None = None
    pixel_threshold: float | None = None
    colour_range: tuple[float, float] | None = None
    """Of the overlays; None writes none."""
    maps: bool = False

    @property
    def longest_side(self) -> int | None:
        """Pixels of the longer side of an overlay; None where none is drawn."""
        return None if self.colour_range is None else LONGEST_SIDE


class Writer:
    """Writes in a thread of its own, in the order told; an image's row comes last."""

    def __init__(
        self,
        table: PredictionTable,
        outputs: Outputs,
        tell: Callable[[dict[str, Any]], None] = lambda row: None,
    ):
        """`tell` is told of each row once it is written."""
        self._table, self._outputs, self._tell = table, outputs, tell
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cfa_lab-writer")
        self._waiting: list[Future[None]] = []

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            self._thread.shutdown(cancel_futures=True)

    def put(self, result: Result) -> None:
        """Have one image written, scored or with what was wrong; waits where many are waiting."""
        self._waiting.append(self._thread.submit(self._write, result))
        while len(self._waiting) > MAX_WAITING or (self._waiting and self._waiting[0].done()):
            self._waiting.pop(0).result()

    def wait(self) -> None:
        """Return when everything is written; raises what went wrong."""
        while self._waiting:
            self._waiting.pop(0).result()

    def _write(self, result: Result) -> None:
        intake, scored, seconds, error = result
        row = row_of({"path": str(intake.path), "modified": intake.modified, "error": error})
        row |= {"content": intake.content}
        if scored is not None:
            wanted = self._outputs
            found = judge(
                scored,
                image_threshold=wanted.image_threshold,
                pixel_threshold=wanted.pixel_threshold,
            )
            row |= {"score": found.score, "decision": found.decision, "area": found.area}
            row |= {"milliseconds": round(1000 * seconds, 3)}
            if found.box is not None:
                row |= dict(zip(("top", "left", "height", "width"), found.box, strict=True))
            self._draw(intake, scored)
        self._table.add(row)
        self._tell(row)

    def _draw(self, intake: Intake, scored: Scored) -> None:
        wanted = self._outputs
        if wanted.maps:
            write_map(beside(wanted.folder / names.MAPS, intake.path, ".tiff"), scored.full_map())
        if wanted.colour_range is None or intake.small is None:
            return
        low, high = wanted.colour_range
        overlay = render_overlay(
            intake.small, scored.full_map(), low=low, high=high, threshold=wanted.pixel_threshold
        )
        path = beside(wanted.folder / OVERLAYS, intake.path, ".jpg")
        with replacing(path, durable=False) as partial:
            Image.fromarray(overlay).save(partial, "JPEG", quality=JPEG_QUALITY)


def beside(folder: Path, image: Path, suffix: str) -> Path:
    """Where a picture of an image goes: under the image's path from here, each to its own.

    Images from elsewhere go to `elsewhere/` under their whole path.
    """
    absolute, here = image.expanduser().absolute(), Path.cwd()
    parts = Path(os.path.normpath(absolute))
    if parts.is_relative_to(here):
        path = folder / parts.relative_to(here)
    else:
        path = folder / ELSEWHERE / parts.relative_to(parts.anchor)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{path.name}{suffix}")
