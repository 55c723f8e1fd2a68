"""Weights & Biases as one more listener.

W&B is a view of a run whose truth is its folder: once the run has begun, nothing that happens to
the view stops the run or keeps it waiting without bound.
"""

import logging
import re
import shlex
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.tracking.base import Outcome, Tracker
from cfa_lab.tracking.wandb_helper import (
    clear_temporary,
    give_up,
    one_line,
    refused,
    shut_down,
    within,
)
from cfa_lab.tracking.wandb_session import (
    import_wandb,
    keep_files_below,
    mark_sent,
    open_run,
    without_foreign_sweep,
)
from cfa_lab.tracking.wandb_tables import curve_chart, panels_table, predictions_table
from cfa_lab.vocabulary import TRACKER_MODES, one_of

if TYPE_CHECKING:
    import wandb

_FORBIDDEN_IN_PROJECT = r"/\#?%:"
MOST_OF_NAME, MOST_OF_TAG = 128, 64
"""Characters that W&B takes in an artifact's name, and in a tag."""

log = logging.getLogger(__name__)


class WandbTracker(Tracker):
    """One W&B run: configuration, steps, metrics as summary, predictions, pictures and curves.

    `mode` "auto" goes online where wandb finds credentials and the server answers within
    `init_timeout` seconds, and offline otherwise; a mode set by `WANDB_MODE` or `wandb offline` is
    respected. It never prompts. `images=False` keeps every picture off W&B and `model=False` the
    fitted detector, which is otherwise an artifact that refers to the run folder's files.
    `resume_id` continues the run of that id. Results, upload and leaving get at most
    `finish_timeout` seconds together; `python -m cfa_lab sync` sends the rest later.

    All files go below `folder/wandb`, unless `WANDB_DATA_DIR` or `WANDB_CACHE_DIR` say otherwise.
    Raises `UserError` where wandb is missing or refuses an argument, and in mode "online" where
    there is no connection.
    """

    def __init__(
        self,
        folder: Path,
        *,
        config: dict[str, Any],
        project: str,
        entity: str | None,
        group: str | None,
        job_type: str,
        name: str,
        tags: Sequence[str],
        mode: str,
        images: bool,
        model: bool,
        resume_id: str | None,
        init_timeout: float = 10.0,
        finish_timeout: float = 10.0,
    ) -> None:
        one_of("tracker.mode", mode, TRACKER_MODES)
        if set(project) & set(_FORBIDDEN_IN_PROJECT):
            raise UserError(
                f"The W&B project '{project}' holds one of {' '.join(_FORBIDDEN_IN_PROJECT)};"
                " choose a name without these characters."
            )
        self.folder = folder.absolute()
        self.images = images
        self.model = model
        self.finish_timeout = finish_timeout
        self._id = resume_id
        self._how = {
            "mode": mode,
            "init_timeout": init_timeout,
            "finish_timeout": finish_timeout,
        }
        legal = legal_tags(tags)
        self._arguments: dict[str, Any] = {
            "config": config if legal == [*tags] else config | {"tags": [*tags]},
            "project": project,
            "entity": entity,
            "group": group,
            "job_type": job_type,
            "name": name,
            "tags": legal,
        }
        self._wandb = import_wandb()
        self._run: wandb.Run | None = None
        self._listens = True
        self._deadline: float | None = None

    @property
    def run_id(self) -> str | None:
        """The id by which W&B knows the run, later its `resume_id`; None before entering."""
        return self._run.id if self._run else self._id

    def __enter__(self) -> "WandbTracker":
        with ExitStack() as stack:
            stack.enter_context(without_foreign_sweep(self._id))
            stack.enter_context(keep_files_below(self.folder / names.WANDB))
            stack.callback(clear_temporary, self._wandb)
            stack.callback(lambda: shut_down(self._wandb, seconds=max(1.0, self._seconds_left())))
            self._run = open_run(
                self._wandb, self._arguments, folder=self.folder, run_id=self._id, **self._how
            )
            self._stack = stack.pop_all()
        self._tell(_define_axes, self._run)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._run
        run = self._run
        with self._stack:
            in_time = False
            try:
                if self._seconds_left() > 0:
                    in_time = self._in_time(partial(run.finish, exit_code=int(kind is not None)))
            except TimeoutError:
                pass
            except Exception as reason:
                log.warning("W&B could not close the run: %s", one_line(reason))
            if not in_time:
                give_up(self._wandb, run)
            if run.offline:
                return
            said = refused(run)
            if self._listens and in_time and said is None:
                mark_sent(run)
                # what was uploaded needs no second copy on disk
                shutil.rmtree(self.folder / names.WANDB / "artifacts", ignore_errors=True)
            else:
                log.warning(
                    "W&B has not taken everything%s; `python -m cfa_lab sync %s` sends the rest",
                    *(f" ({said})" if said else "", shlex.quote(str(self.folder))),
                )

    def log_step(self, row: Mapping[str, float]) -> None:
        assert self._run
        self._tell(self._run.log, dict(row))

    def log_evaluation(self, epoch: int, metrics: Mapping[str, float | None]) -> None:
        assert self._run
        self._tell(self._run.log, {"epoch": epoch, **_defined(metrics)})

    def finish(self, outcome: Outcome) -> None:
        def report() -> None:
            if not self._in_time(partial(self._report, outcome)):
                raise TimeoutError(f"it has not answered within {self.finish_timeout:g} s")

        self._tell(report)

    def _seconds_left(self) -> float:
        """What is left of the time that the end of a run may take; it begins at the first call."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self.finish_timeout
        return self._deadline - time.monotonic()

    def _in_time(self, action: Callable[[], object]) -> bool:
        return within(self._seconds_left(), action)

    def _tell(self, action: Callable[..., object], *arguments: object) -> None:
        """Do it, unless W&B was lost; whatever loses it is logged once and the run goes on."""
        if self._listens:
            try:
                action(*arguments)
            except Exception as reason:
                self._listens = False
                log.warning("W&B was lost, the run goes on without it: %s", one_line(reason))

    def _report(self, outcome: Outcome) -> None:
        """Each part for itself: what W&B refuses of one is no reason to keep the others from it."""
        assert self._run
        log_to = self._run.log
        numbers = {**outcome.metrics, **outcome.diagnostics, **outcome.timing}
        self._part("numbers", self._run.summary.update, lambda: _defined(numbers))
        tables = {"predictions": partial(predictions_table, self._wandb, outcome.predictions)}
        if self.images and outcome.panels:
            tables["panels"] = partial(panels_table, self._wandb, outcome.panels)
        charts = {name: partial(curve_chart, self._wandb, c) for name, c in outcome.curves.items()}
        for name, make in (tables | charts).items():
            self._part(name, log_to, lambda name=name, make=make: {name: make()})
        if self.model and outcome.model:
            self._part("model", self._run.log_artifact, partial(self._detector, outcome))

    def _part(self, what: str, tell: Callable[[Any], object], make: Callable[[], object]) -> None:
        try:
            tell(make())
        except ValueError as reason:  # an argument that wandb refuses; other errors lose it
            log.warning("W&B refuses the %s, which the folder has: %s", what, one_line(reason))

    def _detector(self, outcome: Outcome) -> "wandb.Artifact":
        """The fitted detector; its files stay where they are and are neither copied nor cached."""
        name = legal_name(str(self._arguments["name"]))
        artifact = self._wandb.Artifact(name, type="model", metadata=_defined(outcome.metrics))
        for path in outcome.model:
            artifact.add_file(str(path), policy="immutable", skip_cache=True)
        return artifact


def legal_name(name: str) -> str:
    """A name that W&B takes for an artifact: ASCII letters, digits, `_.-`, at most 128 of them.

    Of other letters, and of what is too long, something is lost: such a name ends with a hash of
    the real one, so that no two become one.
    """
    legal = re.sub(r"[^A-Za-z0-9_.-]", "-", name)
    if name.isascii() and len(name) <= MOST_OF_NAME:
        return legal
    return _marked(legal, name, MOST_OF_NAME)


def legal_tags(tags: Sequence[str]) -> list[str]:
    """Tags as W&B takes them: none empty, each once, of at most 64 characters."""
    short = (tag if len(tag) <= MOST_OF_TAG else _marked(tag, tag, MOST_OF_TAG) for tag in tags)
    return list(dict.fromkeys(tag for tag in short if tag))


def _marked(text: str, real: str, most: int) -> str:
    mark = sha256(real.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{text[: most - 9]}-{mark}"


def latest_run_id(folder: Path) -> str | None:
    """The id of the W&B run that was last kept below a run folder; None where there is none."""
    records = sorted(
        folder.glob(f"{names.WANDB}/*run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime
    )
    return records[-1].stem.removeprefix("run-") if records else None


def _define_axes(run: "wandb.Run") -> None:
    run.define_metric("epoch")
    run.define_metric("step")
    run.define_metric("train/*", step_metric="step")
    for prefix in ("test", "threshold", "oracle"):
        run.define_metric(f"{prefix}/*", step_metric="epoch")


def _defined(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if value is not None}
