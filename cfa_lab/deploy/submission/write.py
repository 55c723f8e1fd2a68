"""Maps and masks of an object's private test images, by a run's own pixel threshold."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from cfa_lab.data.layouts.folders import image_names
from cfa_lab.deploy.intake import WORKERS, batches
from cfa_lab.deploy.runtime import Runtime, Scored
from cfa_lab.deploy.scan import scored_batches
from cfa_lab.deploy.submission.form import MAPS, MASKS, SETS, Place, all_places
from cfa_lab.errors import UserError
from cfa_lab.files import replacing
from cfa_lab.progress import each
from cfa_lab.records.maps import write_map

MOST = float(np.finfo(np.float16).max)


def private_images(root: Path, category: str) -> dict[Place, Path]:
    """The private test images of an object in a data set.

    Raises UserError where some are missing.
    """
    found = {
        Place(category, folder, Path(name).stem): root / category / folder / name
        for folder in SETS
        for name in image_names(root / category / folder)
    }
    wanted = all_places([category])
    missing = [place for place in wanted if place not in found]
    if missing:
        first = missing[0]
        raise UserError(
            f"{root / category / first.set} has no {first.name} ({len(missing)} of the "
            f"{len(wanted)} private test images are missing); unpack the data set again, or say "
            "where it is with --root"
        )
    return {place: found[place] for place in wanted}


def write_category(
    runtime: Runtime, images: dict[Place, Path], folder: Path, threshold: float | None
) -> Iterator[Place]:
    """Write each image's map and, with a threshold, its mask; yield what is written.

    Of an image whose files are there already nothing is made. Raises UserError for an image that
    cannot be scored, and where scores exceed float16.
    """
    waiting = {path: place for place, path in images.items() if not _is_there(folder, place)}
    taken = batches(
        waiting,
        runtime.description.image,
        batch_size=runtime.batch_size,
        workers=WORKERS,
    )
    results = (one for batch in scored_batches(runtime, taken) for one in batch)
    for result in each(results, "scoring", len(waiting)):
        if result.scored is None:
            raise UserError(f"{result.error}; what is written stays, the same command goes on")
        place = waiting[result.intake.path]
        _write(folder, place, result.scored, threshold)
        yield place


def _is_there(folder: Path, place: Place) -> bool:
    """The mask is written first, so that the map says whether both are there."""
    return (folder / place.path(MAPS)).is_file()


def _write(folder: Path, place: Place, scored: Scored, threshold: float | None) -> None:
    values = scored.full_map()
    if (largest := float(np.nanmax(np.abs(values)))) > MOST:
        raise UserError(
            f"{place.path(MAPS)} would hold {largest:g}; float16, which the server wants, ends at "
            f"{MOST:g}: train with scores of another scale"
        )
    if threshold is not None:
        path = folder / place.path(MASKS)
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = np.zeros(values.shape, dtype=np.uint8)
        top, left, height, width = scored.placement.window
        seen = scored.window_map >= threshold
        mask[top : top + height, left : left + width] = np.where(seen, 255, 0)
        with replacing(path) as partial:
            Image.fromarray(mask).save(partial, "PNG")
    write_map(folder / place.path(MAPS), values)
