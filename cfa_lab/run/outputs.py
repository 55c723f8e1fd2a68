"""What a finished run leaves in its folder, and what its trackers are told of it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cfa_lab.config import Config
from cfa_lab.evaluation import diagnostics
from cfa_lab.evaluation.diagnostics import PatchWitness
from cfa_lab.evaluation.maps import write_maps
from cfa_lab.evaluation.summary import Evaluation
from cfa_lab.evaluation.wrong import found_by_kind, wrong_decisions
from cfa_lab.figures.of_a_run import colour_range, draw_figures
from cfa_lab.method.detector import Detector
from cfa_lab.method.repulsion import sqrt_alpha
from cfa_lab.progress import phase
from cfa_lab.records import names
from cfa_lab.records.diagnostics import scalars, write_diagnostics
from cfa_lab.records.environment import environment
from cfa_lab.records.history import read_history
from cfa_lab.records.misses import write_misses
from cfa_lab.records.predictions import write_predictions
from cfa_lab.run.keys import own_code
from cfa_lab.run.opening import set_by
from cfa_lab.run.prepare import Preparation
from cfa_lab.tracking import Outcome, Panel
from cfa_lab.training.description import ModelDescription, ModelThresholds
from cfa_lab.training.model_files import save_model


def write_results(
    config: Config, prepared: Preparation, folder: Path, detector: Detector, result: Evaluation
) -> tuple[list[dict[str, Any]], list[Panel], list[Path]]:
    """Write model, predictions, maps and figures; returns predictions, panels and figure files."""
    extractor = prepared.extractor
    save_model(folder, detector, describe_model(config, prepared, detector, result))
    predictions = _predictions(result)
    write_predictions(folder, predictions)
    if result.thresholds is not None:
        threshold = result.thresholds.image
        write_misses(folder, wrong_decisions(result.images, result.looks, threshold))
    if config.evaluation.maps:
        with phase("maps"):
            write_maps(folder / names.MAPS, detector, result.images, extractor.geometry.input_size)
    with phase("figures"):
        panels, figures = draw_figures(
            folder / names.FIGURES,
            detector,
            result,
            prepared.table,
            input_size=extractor.geometry.input_size,
            depth=extractor.geometry.depth,
            predictions=predictions,
            history=read_history(folder),
            sqrt_alpha=_sqrt_alpha(config),
            num_each=config.evaluation.cases,
        )
    return predictions, panels, figures


def describe_model(
    config: Config, prepared: Preparation, detector: Detector, result: Evaluation
) -> ModelDescription:
    """What a run's model says of itself."""
    values, extractor = config.evaluation, prepared.extractor
    architecture = extractor.backbone.architecture
    thresholds = None
    if result.thresholds is not None:
        num_normal, normal_images = set_by(config, prepared.table)
        by_sd = values.threshold == "mean_sd"
        origin = {
            "rule": values.threshold,
            "parameter": values.num_sd if by_sd else values.quantile,
            "num_images": num_normal,
            "from": f"{normal_images} of the run",
        }
        thresholds = ModelThresholds(
            image=result.thresholds.image, pixel=result.thresholds.pixel, origin=origin
        )
    made_on = environment(str(prepared.device), prepared.num_threads)
    return ModelDescription(
        channels=list(detector.descriptor.channels),
        scoring=asdict(detector.scoring),
        backbone=asdict(architecture) | {"layers": list(architecture.layers)},
        backbone_weights_hash=prepared.backbone_hash,
        backbone_weights={
            "source": config.backbone.weights,
            "tag": config.backbone.tags.get(config.backbone.release),
            **own_code(config.backbone.model),
        },
        image=extractor.geometry,
        features=config.features.extraction,
        num_threads=prepared.num_threads,
        category=config.category,
        run_key=prepared.run_key,
        thresholds=thresholds,
        colour_range=colour_range(result.images),
        versions={"cfa_lab": made_on["cfa_lab"], **made_on["packages"]},
    )


def kinds_of(result: Evaluation) -> dict[str, Any] | None:
    """What became of each kind of image at the threshold; None where none was set."""
    if result.thresholds is None:
        return None
    return found_by_kind(result.images, result.looks, result.thresholds.image)


def make_witness(config: Config, prepared: Preparation) -> PatchWitness | None:
    """Who sees what diagnostics need; None where the configuration asks for no such thing."""
    table = prepared.table
    samples = diagnostics.choose_samples(table.test, config.evaluation.diagnostics)
    return PatchWitness(table, samples, prepared.extractor.geometry.input_size) if samples else None


def diagnose(
    config: Config, folder: Path, detector: Detector, witness: PatchWitness | None
) -> dict[str, Any] | None:
    """Write what the hyperspheres became, if somebody saw it."""
    if witness is None:
        return None
    record = diagnostics.summarise(
        witness.distances(),
        num_images=witness.num_images,
        num_entries=len(detector.bank),
        radius=float(detector.radius),
        squared=config.loss.squared,
        sqrt_alpha=_sqrt_alpha(config),
    )
    write_diagnostics(folder, record)
    return record


def make_outcome(
    folder: Path,
    result: Evaluation,
    predictions: list[dict[str, Any]],
    panels: list[Panel],
    timing: dict[str, float],
    diagnosis: dict[str, Any] | None,
) -> Outcome:
    """The end of a run as trackers are told of it; `timing` is in seconds, by `time/...` names."""
    return Outcome(
        metrics=result.metrics | result.oracle,
        predictions=predictions,
        panels=panels,
        curves=result.curves | (diagnostics.curves(diagnosis) if diagnosis else {}),
        timing=timing,
        model=[folder / names.MODEL, folder / names.MODEL_DESCRIPTION],
        diagnostics=scalars(diagnosis) if diagnosis else {},
    )


def _predictions(result: Evaluation) -> list[dict[str, Any]]:
    thresholds = result.thresholds
    normal = np.array(thresholds.normal_scores if thresholds else ())
    return [
        {
            "path": image.sample.path,
            "label": image.sample.label,
            "defect": image.sample.defect,
            "score": image.score,
            "decision": None if thresholds is None else int(image.score >= thresholds.image),
            "normal_percentile": float(100 * (normal < image.score).mean())
            if normal.size
            else None,
            "defect_area": area,
        }
        for image, area in zip(result.images, result.defect_areas, strict=True)
    ]


def _sqrt_alpha(config: Config) -> float | None:
    """What r has to pass before repulsion can act, if anything."""
    loss = config.loss
    return sqrt_alpha(J=loss.J, alpha=loss.alpha, alpha_sign=loss.alpha_sign)
