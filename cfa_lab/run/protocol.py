"""How a run's numbers were obtained, for its record."""

from pathlib import Path
from typing import Any

from cfa_lab.config import Config
from cfa_lab.data.tiles import Source, Tile
from cfa_lab.evaluation.summary import Evaluation
from cfa_lab.method.detector import Detector
from cfa_lab.run.prepare import Preparation
from cfa_lab.training.order import bank_order


def protocol_of(
    config: Config, prepared: Preparation, detector: Detector, result: Evaluation
) -> dict[str, Any]:
    """The `protocol` of a run's `metrics.json`, as JSON values."""
    scored, values, table = config.scoring, config.evaluation, prepared.table
    rule = values.threshold if table.validation or values.folds else None
    return {
        "epoch_selection": "last",
        "scores": "raw",
        "resolution": "original, within the scored window",
        "masks": f"above {table.mask_above} is defect; cut to the scored window, never resized",
        "layout": table.layout,
        "split": table.split_rule,
        "drawn_for_training": [s.path for s in table.train] if table.drawn else None,
        "region_connectivity": 8,
        "input_size": list(prepared.extractor.geometry.input_size),
        "tile_overlap": config.image.overlap if config.image.resize == "tile" else None,
        "image_bits": prepared.depth.bits,
        "image_bits_from": prepared.depth.origin,
        "image_range": prepared.depth.depth.range,
        "smoothing": f"Gaussian, sigma {scored.sigma:g} input pixels, border {scored.border}",
        "image_score": scored.reducer
        + (f" (highest {scored.top_fraction:g})" if scored.reducer == "top_mean" else ""),
        "decision": "score >= threshold",
        "threshold_rule": rule,
        "threshold_parameter": values.num_sd if rule == "mean_sd" else rule and values.quantile,
        "threshold_folds": values.folds,
        "num_resamples": values.resamples,
        "metric_bytes": result.metric_bytes,
        "bank_entries": detector.bank.shape[0],
        "bank_dimension": detector.bank.shape[1],
        "num_train": len(table.train),
        "left_out_of_bank": _left_out_of_bank(config, prepared),
        "num_validation": len(table.validation),
        "num_test_normal": sum(sample.label == 0 for sample in table.test),
        "num_test_defect": sum(sample.label == 1 for sample in table.test),
        **result.outside,
    }


def _left_out_of_bank(config: Config, prepared: Preparation) -> list[str]:
    """Training images, or tiles, that dropping the last batch kept out of the memory bank."""
    table = prepared.table
    sources = prepared.extractor.sources([table.absolute(s.path) for s in table.train])
    batches = bank_order(config, len(sources), seed=config.seed)
    used = {int(i) for batch in batches for i in batch}
    return [_source_name(s, table.root) for i, s in enumerate(sources) if i not in used]


def _source_name(source: Source, root: Path) -> str:
    if isinstance(source, Tile):
        return f"{source.path.relative_to(root).as_posix()} (tile {source.index})"
    return source.relative_to(root).as_posix()
