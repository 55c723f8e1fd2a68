"""What a run says of itself before it begins to work: on what, with what, and on which images."""

from collections import Counter
from collections.abc import Sequence

from cfa_lab.config import Config
from cfa_lab.data.samples import Sample
from cfa_lab.features.networks import PACKAGED
from cfa_lab.features.own import is_own
from cfa_lab.run.prepare import Preparation

MOST_KINDS = 8


def opening(config: Config, prepared: Preparation) -> list[str]:
    """The lines that a run opens with."""
    table, geometry = prepared.table, prepared.extractor.geometry
    lines = [
        f"{config.category}: {len(table.train)} training images, {len(table.test)} test images"
        f" ({kinds(table.test)})"
    ]
    if table.validation:
        lines[0] += f", {len(table.validation)} held-out normal images set the thresholds"
    elif config.evaluation.folds:
        lines[0] += f"; training images set the thresholds, in {config.evaluation.folds} parts"
    height, width = geometry.input_size
    lines.append(
        f"backbone {config.backbone.name}, weights {weights_source(config)}; "
        f"images {geometry.resize} to {width} x {height} (width x height)"
    )
    threads = f"{prepared.num_threads} CPU thread{'s' if prepared.num_threads > 1 else ''}"
    lines.append(f"preset {config.preset}, seed {config.seed}; on {prepared.device}, {threads}")
    return lines


def weights_source(config: Config) -> str:
    """Where a backbone's weights come from, in words."""
    values = config.backbone
    if values.weights == "random":
        return "random"
    if values.weights != "pretrained":
        return f"from {values.weights}"
    if is_own(values.model):
        return f"as {values.model} gives them"
    if values.model in PACKAGED:
        return f"of the pip package {PACKAGED[values.model].module.replace('_', '-')}"
    tag = values.tags.get(values.release)
    return f"{values.model}{f'.{tag}' if tag else ''} of the timm hub"


def kinds(samples: Sequence[Sample]) -> str:
    """How many images of each kind, normal ones first: `good 12, hole 8`."""
    counts = Counter((sample.label, sample.defect) for sample in samples)
    parts = [f"{kind} {count}" for (_, kind), count in sorted(counts.items())]
    more = len(parts) - MOST_KINDS
    return ", ".join(parts[:MOST_KINDS]) + (f" and {more} kinds more" if more > 0 else "")
