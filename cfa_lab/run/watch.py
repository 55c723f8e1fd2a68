"""Who looks on while a run trains: trackers, evaluations on the way, saved states."""

import time
from collections.abc import Callable
from pathlib import Path

from cfa_lab.config import Config
from cfa_lab.records.history import Row
from cfa_lab.tracking import Trackers
from cfa_lab.training import checkpoint
from cfa_lab.training.state import Fit

SECONDS_BETWEEN_STATES = 5.0
"""Least time between two saved states; an interruption costs at most this and one epoch."""

SECONDS_BETWEEN_PARTS = 60.0
"""The same within a pass that solves for the descriptor."""


class Watch:
    """Tells trackers of each step, and saves states as training goes on.

    `evaluate` is called every `evaluation.every` epochs but the last, with the fit; it returns
    metrics for the trackers.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        fit_key: str,
        trackers: Trackers,
        evaluate: Callable[[Fit], dict[str, float | None]],
    ):
        self.config = config
        self.folder = folder
        self.fit_key = fit_key
        self.trackers = trackers
        self.evaluate = evaluate
        self._saved = time.monotonic()

    def step(self, row: Row) -> None:
        """A step is done."""
        self.trackers.log_step(row)

    def image(self, fit: Fit) -> None:
        """An image of a pass that solves for the descriptor is done."""
        if time.monotonic() - self._saved >= SECONDS_BETWEEN_PARTS:
            self._save(fit)

    def epoch(self, fit: Fit) -> None:
        """An epoch is done."""
        every, last = self.config.evaluation.every, fit.next_epoch == self.config.num_epochs
        if every and fit.next_epoch % every == 0 and not last:
            self.trackers.log_evaluation(fit.next_epoch - 1, self.evaluate(fit))
        if last or time.monotonic() - self._saved >= SECONDS_BETWEEN_STATES:
            self._save(fit)

    def _save(self, fit: Fit) -> None:
        checkpoint.save_state(self.folder, fit, fit_key=self.fit_key)
        self._saved = time.monotonic()
