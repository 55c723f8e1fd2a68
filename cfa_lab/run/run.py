"""One run, told top to bottom: data, features, fit, evaluation, figures, record, tracker."""

import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cfa_lab.config import Config
from cfa_lab.data.doubts import (
    doubt_about_validation,
    doubts_by_content,
    doubts_by_name,
    notes_by_name,
)
from cfa_lab.evaluation.evaluate import evaluate
from cfa_lab.evaluation.maps import See
from cfa_lab.evaluation.summary import Evaluation, best_on_test
from cfa_lab.evaluation.thresholds import Thresholds, set_thresholds
from cfa_lab.method.detector import Detector
from cfa_lab.progress import phase
from cfa_lab.records import names
from cfa_lab.records.environment import environment
from cfa_lab.records.history import HISTORY_COLUMNS, SOLVED_COLUMNS, read_evaluations
from cfa_lab.records.record import write_record
from cfa_lab.run.begin import begin, first_files, recorded_failure, refuse_lost, refuse_taken
from cfa_lab.run.crossfit import cross_fitted_thresholds
from cfa_lab.run.log import Begin, kept_log
from cfa_lab.run.opening import doubt_about_thresholds, opening, set_by
from cfa_lab.run.outputs import (
    diagnose,
    kinds_of,
    make_outcome,
    make_witness,
    write_results,
)
from cfa_lab.run.prepare import Preparation, prepare
from cfa_lab.run.protocol import protocol_of
from cfa_lab.run.tables import seen_in_training
from cfa_lab.run.trackers import make_tracker, shown_to_sweep
from cfa_lab.run.watch import Watch
from cfa_lab.tracking import HistoryFile, Trackers
from cfa_lab.training import checkpoint
from cfa_lab.training.fit import detector_of, new_fit, train
from cfa_lab.training.state import Fit, Observer

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A complete run, for whoever called it."""

    folder: Path
    evaluation: Evaluation
    figures: list[Path]
    thresholds_from: str
    """How many normal images of which kind set the thresholds, in words."""
    threshold_doubt: str | None
    """Why these are too few, and the ways out."""


@dataclass
class Timing:
    """Seconds of each part of a run, under the names that records and trackers use."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, part: str) -> Generator[None]:
        began = time.perf_counter()
        yield
        name = f"time/{part}_seconds"
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


def run(
    config: Config,
    folder: Path,
    *,
    prepared: Preparation | None = None,
    on_begin: Callable[[], None] = lambda: None,
) -> RunResult:
    """Train and score one category and leave a complete run folder.

    What the user got wrong and can be known before training raises UserError and leaves no record;
    any later failure is recorded as `failed`, with the fit kept for `resume=<folder>`. `on_begin`
    is called as training begins, before anything else is in the folder. `prepared` is what
    `prepare` made of the same configuration, for a caller that needed it before.
    """
    with shown_to_sweep(config, folder), kept_log(folder) as keep:
        return _run(config, folder, prepared, on_begin, keep)


def _run(
    config: Config,
    folder: Path,
    prepared: Preparation | None,
    on_begin: Callable[[], None],
    keep: Begin,
) -> RunResult:
    """The run itself, whoever watches."""
    timing = Timing()
    prepared = prepared or prepare(config)
    table, extractor = prepared.table, prepared.extractor
    workers = config.features.workers
    for line in opening(config, prepared):
        log.info("%s", line)
    for doubt in (
        *doubts_by_name(table),
        *notes_by_name(table),
        *doubt_about_validation(seen_in_training(table, table.validation, workers=workers)),
        *filter(None, [few := doubt_about_thresholds(config, table)]),
    ):
        log.warning("%s", doubt)
    refuse_taken(folder, resume=config.resume, fit_key=prepared.fit_key)
    with timing.measure("features"):
        levels = extractor.collect([table.absolute(sample.path) for sample in table.train])
    with timing.measure("training"):
        fit = new_fit(
            levels,
            config,
            pooled=True,
            seed=config.seed,
            device=str(prepared.device),
            dimension_factor=config.backbone.dimension_factor,
        )
    folder.mkdir(parents=True, exist_ok=True)
    on_begin()  # first of all, so that whatever is killed from here on can be resumed
    step = begin(config, folder, fit, fit_key=prepared.fit_key)
    keep(step > 0)
    facts = {
        "run_key": prepared.run_key,
        "config": asdict(config),
        "environment": environment(str(prepared.device), prepared.num_threads),
        "timing": timing.seconds,
    }
    columns = SOLVED_COLUMNS if fit.optimizer is None else HISTORY_COLUMNS
    history = HistoryFile(folder, first_step=step, columns=columns)
    trackers = Trackers(make_tracker(config, folder), history)
    with recorded_failure(folder, fit, facts, has_begun=lambda: trackers.is_open), trackers:
        files = first_files(folder)
        with timing.measure("training"):
            detector = _train(config, prepared, fit, folder, trackers)
        del levels, fit
        witness = make_witness(config, prepared)
        with timing.measure("evaluation"):
            result = _evaluate(config, prepared, detector, last=True, see=witness and witness.see)
        seen = seen_in_training(table, table.test, workers=workers)
        outside = result.outside
        for doubt in doubts_by_content(
            seen, outside["num_empty_masks"], outside["num_inverted_masks"]
        ):
            log.warning("%s", doubt)
        result = _with_best_epochs(config, folder, result, trackers)
        with timing.measure("diagnostics"):
            diagnosis = diagnose(config, folder, detector, witness)
        with timing.measure("files"):
            predictions, panels, figures = write_results(
                config, prepared, folder, detector.cpu(), result
            )
            outcome = make_outcome(folder, result, predictions, panels, timing.seconds, diagnosis)
        files += [names.MODEL, names.MODEL_DESCRIPTION, names.PREDICTIONS]
        refuse_lost(folder, files)
        write_record(
            folder,
            status="complete",
            metrics=result.metrics,
            intervals=result.intervals,
            no_intervals=result.no_intervals,
            oracle=result.oracle,
            undefined=result.undefined,
            protocol=protocol_of(config, prepared, detector, result)
            | {"test_images_in_training": seen, "found_by_kind": kinds_of(result)},
            **facts,
        )
        checkpoint.remove_state(folder)
        with phase("upload"):
            trackers.finish(outcome)
    return RunResult(
        folder=folder,
        evaluation=result,
        figures=figures,
        thresholds_from=" ".join(map(str, set_by(config, table))),
        threshold_doubt=few,
    )


def _train(
    config: Config, prepared: Preparation, fit: Fit, folder: Path, trackers: Trackers
) -> Detector:
    """Train with everyone told of each step; states are saved as training goes on."""

    def evaluate_on_the_way(fit: Fit) -> dict[str, float | None]:
        return _evaluate(config, prepared, detector_of(fit), last=False).tested

    watch = Watch(config, folder, prepared.fit_key, trackers, evaluate_on_the_way)
    train(fit, Observer(step=watch.step, image=watch.image, epoch=watch.epoch))
    return detector_of(fit)


def _evaluate(
    config: Config,
    prepared: Preparation,
    detector: Detector,
    *,
    last: bool,
    see: See | None = None,
) -> Evaluation:
    """Measure a detector; thresholds and intervals are for the last epoch only."""
    values = config.evaluation
    thresholds: Thresholds | None = None
    if last and values.folds:
        thresholds = cross_fitted_thresholds(config, prepared)
    elif last:
        thresholds = set_thresholds(
            detector,
            prepared.extractor,
            prepared.table,
            rule=values.threshold,
            quantile=values.quantile,
            num_sd=values.num_sd,
        )
    return evaluate(
        detector,
        prepared.extractor,
        prepared.table,
        aupro_limits=values.aupro_limits,
        thresholds=thresholds,
        num_resamples=values.resamples if last else 0,
        spill_gb=values.spill_gb,
        see=see,
    )


def _with_best_epochs(
    config: Config, folder: Path, result: Evaluation, trackers: Trackers
) -> Evaluation:
    """Add the last epoch to the curves over epochs, and what the best epochs would have been."""
    if not config.evaluation.every or not config.num_epochs:
        return result
    tested = {name: value for name, value in result.metrics.items() if name.startswith("test/")}
    trackers.log_evaluation(config.num_epochs - 1, tested)
    best = best_on_test(read_evaluations(folder))
    return replace(result, oracle=result.oracle | best)
