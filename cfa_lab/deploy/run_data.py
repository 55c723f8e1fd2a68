"""The images that a run was trained and tested on, where they still are."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from cfa_lab.data.geometry import Geometry, Placement
from cfa_lab.data.images import LoadedImage, load_batch, load_image
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.deploy.runtime import Runtime
from cfa_lab.errors import UserError
from cfa_lab.evaluation.evaluate import sample_mask
from cfa_lab.features.identity import image_hash
from cfa_lab.metrics.collected import CollectedScores
from cfa_lab.run.recorded import recorded_table

WORKERS = 2
MEASURED = ("image_auroc", "pixel_auroc", "pixel_ap")
"""What is lost in a reduced precision is said in these."""


def table_of_run(folder: Path) -> SampleTable | None:
    """The samples of a run; None where they are not to be found any more."""
    try:
        return recorded_table(folder)
    except UserError:
        return None


def trained_on(folder: Path, paths: Sequence[Path]) -> list[Path]:
    """Those of some images that a run was fitted to, by their bytes; none where none can tell."""
    table = table_of_run(folder)
    if table is None:
        return []
    with suppress(UserError):  # a training image is gone
        known = {image_hash(table.absolute(sample.path)) for sample in table.train}
        return [path for path in paths if image_hash(path) in known]
    return []


def load_some(
    table: SampleTable, samples: Sequence[Sample], geometry: Geometry, count: int
) -> list[list[LoadedImage]]:
    """At most `count` of some samples' images, evenly spread, ready for the network."""
    places = np.linspace(0, len(samples) - 1, min(count, len(samples)))
    paths = [table.absolute(samples[int(place)].path) for place in places]
    return [[image] for image in load_batch(paths, geometry, workers=WORKERS)]


def random_inputs(geometry: Geometry, count: int) -> list[list[LoadedImage]]:
    """Noise, and one image each all black and all white: inputs no data set has."""
    size = geometry.input_size
    noise = np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    flat = [np.full((*size, 3), value, dtype=np.uint8) for value in (0, 255)]
    whole = (0, 0, *size)
    return [[LoadedImage(pixels, Placement(size, whole, whole))] for pixels in [*noise, *flat]]


def measure(runtime: Runtime, table: SampleTable) -> dict[str, float | None]:
    """A runtime's metrics on the test set; None for one that is undefined there."""
    collected = CollectedScores([])
    for sample in table.test:
        image = load_image(table.absolute(sample.path), runtime.description.image)
        (scored,) = runtime.score([[image]])
        mask = sample_mask(table, sample, scored.placement)
        top, left, height, width = scored.placement.window
        collected.add(
            [scored.window_map],
            None if mask is None else [mask[top : top + height, left : left + width]],
            labels=[sample.label],
            scores=[scored.score],
            names=[sample.path],
        )
    values = collected.scored_set().values()
    return {name: values[name] if np.isfinite(values[name]) else None for name in MEASURED}
