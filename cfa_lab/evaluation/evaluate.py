"""From detector and test images to predictions and metrics, at original resolution."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cfa_lab.data.doubts import mask_doubt
from cfa_lab.data.geometry import Placement
from cfa_lab.data.masks import load_mask
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.evaluation.defects import DefectReader
from cfa_lab.evaluation.maps import ScoredImage, See, score_images
from cfa_lab.evaluation.outside import Outside
from cfa_lab.evaluation.summary import Evaluation, summary, with_looks, with_seg_f1, without_spro
from cfa_lab.evaluation.thresholds import Thresholds
from cfa_lab.evaluation.wrong import Look, look_at
from cfa_lab.features.extract import Extractor
from cfa_lab.method.detector import Detector
from cfa_lab.metrics.collected import CollectedScores
from cfa_lab.progress import phase


def evaluate(
    detector: Detector,
    extractor: Extractor,
    table: SampleTable,
    *,
    aupro_limits: Sequence[float],
    thresholds: Thresholds | None = None,
    num_resamples: int = 0,
    spill_gb: float | None = None,
    see: See | None = None,
) -> Evaluation:
    """Score the test set and measure it, from raw scores, masks cut to the scored window.

    Where the authors of the data set measure sPRO or SegF1 (`table.measures`), so does this. `see`
    is told of the neighbours of every test image's patches.
    """
    spill_bytes = None if spill_gb is None else int(spill_gb * 2**30)
    reader = DefectReader(table) if "spro" in table.measures else None
    collected = CollectedScores(aupro_limits, with_spro=reader is not None, spill_bytes=spill_bytes)
    images: list[ScoredImage] = []
    looks: list[Look] = []
    areas: list[int | None] = []
    pixel_threshold = None if thresholds is None else thresholds.pixel
    outside = Outside()
    for scored, window_map in score_images(detector, extractor, table, table.test, see=see):
        images.append(scored)
        sample = scored.sample
        mask = sample_mask(table, sample, scored.placement)
        areas.append(None if mask is None else int(np.count_nonzero(mask)))
        seen = None
        if mask is not None:
            top, left, height, width = scored.placement.window
            seen = mask[top : top + height, left : left + width]
            outside.count(mask, seen, doubt=mask_doubt(mask) if sample.masks else None)
        looks.append(look_at(window_map.cpu().numpy(), seen, scored.placement, pixel_threshold))
        collected.add(
            [window_map],
            None if seen is None else [seen],
            labels=[sample.label],
            scores=[scored.score],
            names=[sample.path],
            defects=None if reader is None else [reader.read(sample, scored.placement)],
            kinds=None if reader is None else [reader.kind(sample)],
        )
    with phase("metrics and intervals" if num_resamples else "metrics"):
        found = summary(collected, images, outside, thresholds, num_resamples)
    found = replace(with_looks(found, looks), defect_areas=areas)
    if reader is not None and reader.why_not:
        found = without_spro(found, reader.why_not)
    return with_seg_f1(found, table) if "seg_f1" in table.measures else found


def sample_mask(table: SampleTable, sample: Sample, placement: Placement) -> np.ndarray | None:
    """An image's defect mask (H, W) bool; None where a defect image comes without one."""
    if sample.label and not sample.masks:
        return None
    paths = [table.absolute(path) for path in sample.masks]
    return load_mask(paths, placement.original, above=table.mask_above)
