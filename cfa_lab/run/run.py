"""One run, told top to bottom: data, features, fit, evaluation, figures, record, tracker."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cfa_lab.config import Config
from cfa_lab.data.doubts import doubts_by_content, doubts_by_name
from cfa_lab.evaluation.evaluate import (
    Evaluation,
    Thresholds,
    best_on_test,
    evaluate,
    set_thresholds,
)
from cfa_lab.method.detector import Detector
from cfa_lab.method.pyramid import StoredLevel
from cfa_lab.records.environment import environment
from cfa_lab.records.history import Row, read_evaluations
from cfa_lab.records.record import write_record
from cfa_lab.run.begin import clear_results, first_step, recorded_failure
from cfa_lab.run.outputs import diagnose, make_outcome, write_results
from cfa_lab.run.prepare import Preparation, prepare, seen_in_training
from cfa_lab.run.progress import TrainingProgress
from cfa_lab.run.protocol import protocol_of
from cfa_lab.run.trackers import make_tracker, shown_to_sweep
from cfa_lab.tracking import HistoryFile, Trackers
from cfa_lab.training import checkpoint
from cfa_lab.training.fit import fit_pyramid
from cfa_lab.training.loop import Fit, Observer, seeded_batches
from cfa_lab.training.parts import make_scoring

log = logging.getLogger(__name__)

SECONDS_BETWEEN_STATES = 5.0
"""Least time between two saved states; an interruption costs at most this and one epoch."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A complete run, for whoever called it."""

    folder: Path
    evaluation: Evaluation
    figures: list[Path]


@dataclass
class Timing:
    """Seconds of each part of a run, under the names that records and trackers use."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[f"time/{part}_seconds"] = time.perf_counter() - began


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
    is called as training begins, when the folder is there to stay. `prepared` is what `prepare`
    made of the same configuration, for a caller that needed it before.
    """
    with shown_to_sweep(config, folder):
        return _run(config, folder, prepared, on_begin)


def _run(
    config: Config, folder: Path, prepared: Preparation | None, on_begin: Callable[[], None]
) -> RunResult:
    """The run itself, whoever watches."""
    timing = Timing()
    prepared = prepared or prepare(config)
    table, extractor = prepared.table, prepared.extractor
    log.info(
        "%s: %d training images, %d test images", config.category, len(table.train), len(table.test)
    )
    for doubt in doubts_by_name(table):
        log.warning("%s", doubt)
    step = first_step(folder, resume=config.resume, fit_key=prepared.fit_key)
    with timing.measure("features"):
        levels = extractor.collect([table.absolute(sample.path) for sample in table.train])
    trackers = Trackers(make_tracker(config, folder), HistoryFile(folder, first_step=step))
    facts = {
        "run_key": prepared.run_key,
        "config": asdict(config),
        "environment": environment(str(prepared.device), prepared.num_threads),
        "timing": timing.seconds,
    }
    with ExitStack() as begun:
        begun.enter_context(recorded_failure(folder, facts, has_begun=lambda: trackers.is_open))

        def begin(fit: Fit) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            checkpoint.restore_state(folder, fit, fit_key=prepared.fit_key)
            checkpoint.save_state(folder, fit, fit_key=prepared.fit_key)  # now it can be resumed
            clear_results(folder, first_step=step)
            begun.enter_context(trackers)
            on_begin()

        with timing.measure("training"):
            detector = _fit(config, prepared, levels, folder, step, trackers, begin)
        del levels
        with timing.measure("evaluation"):
            result = _evaluate(config, prepared, detector, last=True)
        seen, outside = seen_in_training(table), result.outside
        for doubt in doubts_by_content(
            seen, outside["num_empty_masks"], outside["num_inverted_masks"]
        ):
            log.warning("%s", doubt)
        result = _with_best_epochs(config, folder, result, trackers)
        with timing.measure("diagnostics"):
            diagnosis = diagnose(config, prepared, folder, detector)
        with timing.measure("files"):
            predictions, panels, figures = write_results(
                config, prepared, folder, detector.cpu(), result
            )
            outcome = make_outcome(folder, result, predictions, panels, timing.seconds, diagnosis)
            trackers.finish(outcome)
        checkpoint.remove_state(folder)
        write_record(
            folder,
            status="complete",
            metrics=result.metrics,
            intervals=result.intervals,
            oracle=result.oracle,
            undefined=result.undefined,
            protocol=protocol_of(config, prepared, detector, result)
            | {"test_images_in_training": seen},
            **facts,
        )
    return RunResult(folder=folder, evaluation=result, figures=figures)


def _fit(
    config: Config,
    prepared: Preparation,
    levels: Sequence[StoredLevel],
    folder: Path,
    done_steps: int,
    trackers: Trackers,
    begin: Callable[[Fit], None],
) -> Detector:
    """Fit with everyone told of each step; states are saved as training goes on."""
    trainer = config.trainer
    batches = seeded_batches(
        len(levels[0]), trainer.batch_size, drop_last=trainer.drop_last, seed=config.seed, epoch=0
    )
    progress = TrainingProgress(trainer.epochs * len(batches), first_step=done_steps)
    saved = time.monotonic()

    def step(row: Row) -> None:
        trackers.log_step(row)
        progress.step(row)

    def epoch(fit: Fit) -> None:
        nonlocal saved
        last = fit.next_epoch == trainer.epochs
        if config.evaluation.every and fit.next_epoch % config.evaluation.every == 0 and not last:
            detector = Detector(fit.descriptor, fit.bank, fit.radius.detach(), make_scoring(config))
            found = _evaluate(config, prepared, detector, last=False)
            trackers.log_evaluation(fit.next_epoch - 1, found.tested)
        if last or time.monotonic() - saved >= SECONDS_BETWEEN_STATES:
            checkpoint.save_state(folder, fit, fit_key=prepared.fit_key)
            saved = time.monotonic()

    with progress:
        detector, _ = fit_pyramid(
            levels,
            pooled=True,
            preset=config,
            seed=config.seed,
            device=str(prepared.device),
            dimension_factor=config.backbone.dimension_factor,
            observer=Observer(begin=begin, step=step, epoch=epoch),
        )
    return detector


def _evaluate(
    config: Config, prepared: Preparation, detector: Detector, *, last: bool
) -> Evaluation:
    """Measure a detector; thresholds and intervals are for the last epoch only."""
    values = config.evaluation
    thresholds: Thresholds | None = None
    if last:
        log.info("scoring %d test images", len(prepared.table.test))
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
    )


def _with_best_epochs(
    config: Config, folder: Path, result: Evaluation, trackers: Trackers
) -> Evaluation:
    """Add the last epoch to the curves over epochs, and what the best epochs would have been."""
    if not config.evaluation.every or not config.trainer.epochs:
        return result
    trackers.log_evaluation(config.trainer.epochs - 1, result.tested)
    best = best_on_test(read_evaluations(folder))
    return replace(result, oracle=result.oracle | best)
