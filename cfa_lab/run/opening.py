"""What a run says of itself before it begins to work: on what, with what, and on which images."""

from collections import Counter
from collections.abc import Sequence

from cfa_lab.config import Config
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.features.own import is_own
from cfa_lab.features.packaged import PACKAGED
from cfa_lab.metrics.thresholds import carried_quantile, too_few_images
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


def doubt_about_thresholds(config: Config, table: SampleTable) -> str | None:
    """Why the thresholds will say little, and the ways out; None where they do, or none are set."""
    values, (num_images, _) = config.evaluation, set_by(config, table)
    if not num_images:
        return None
    few = too_few_images(num_images, values.threshold, values.quantile)
    if few is None:
        return None
    ways: list[str] = []
    num_normal = len(table.train) + len(table.validation)
    if not values.folds and num_normal > 1:
        ways.append(f"evaluation.folds=5 lets all {num_normal} normal images set it")
    if lower := carried_quantile(num_images):
        ways.append(f"evaluation.quantile={lower:g} is what {num_images} carry")
    return "; ".join([few, *ways])


def set_by(config: Config, table: SampleTable) -> tuple[int, str]:
    """How many normal images set the thresholds, and which; 0 where no threshold is set."""
    if config.evaluation.folds:
        return len(table.train), "training images, each scored by a model fitted without it"
    return len(table.validation), "held-out normal images"


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
        return f"of the pip package {PACKAGED[values.model].package}"
    tag = values.tags.get(values.release)
    return f"{values.model}{f'.{tag}' if tag else ''} of the timm hub"


def kinds(samples: Sequence[Sample]) -> str:
    """How many images of each kind, normal ones first: `good 12, hole 8`."""
    counts = Counter((sample.label, sample.defect) for sample in samples)
    parts = [f"{kind} {count}" for (_, kind), count in sorted(counts.items())]
    more = len(parts) - MOST_KINDS
    return ", ".join(parts[:MOST_KINDS]) + (f" and {more} kinds more" if more > 0 else "")
