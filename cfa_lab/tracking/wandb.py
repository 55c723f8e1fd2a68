"""Weights & Biases as one more listener; the only file that imports `wandb`, and only when used.

W&B is a view of a run whose truth is its folder: once the run has begun, nothing that happens to
the view stops the run or keeps it waiting without bound.
"""

import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cfa_lab.errors import UserError
from cfa_lab.tracking.base import Outcome, Tracker
from cfa_lab.tracking.wandb_tables import curve_chart, panels_table, predictions_table

if TYPE_CHECKING:
    import wandb

MODES = ("auto", "online", "offline")
_FORBIDDEN_IN_PROJECT = r"/\#?%:"

log = logging.getLogger(__name__)


class WandbTracker(Tracker):
    """One W&B run: configuration, steps, metrics as summary, predictions, pictures and curves.

    `mode` "auto" goes online where wandb finds credentials and the server answers within
    `init_timeout` seconds, and offline otherwise; a mode set by `WANDB_MODE` or `wandb offline` is
    respected. It never prompts. `images=False` keeps every picture off W&B, `resume_id` continues
    the run of that id. On leaving, an upload gets at most `finish_timeout` seconds; `wandb sync`
    can send the rest later.

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
        resume_id: str | None,
        init_timeout: float = 10.0,
        finish_timeout: float = 120.0,
    ) -> None:
        if mode not in MODES:
            raise UserError(f"The W&B mode is '{mode}'; choose one of {', '.join(MODES)}.")
        if set(project) & set(_FORBIDDEN_IN_PROJECT):
            raise UserError(
                f"The W&B project '{project}' holds one of {' '.join(_FORBIDDEN_IN_PROJECT)};"
                " choose a name without these characters."
            )
        self.folder = folder.absolute()
        self.mode = mode
        self.images = images
        self.init_timeout = init_timeout
        self.finish_timeout = finish_timeout
        self._id = resume_id
        self._arguments: dict[str, Any] = {
            "config": config,
            "project": project,
            "entity": entity,
            "group": group,
            "job_type": job_type,
            "name": name,
            "tags": tags,
        }
        self._wandb = _import_wandb()
        self._run: wandb.Run | None = None
        self._listens = True

    @property
    def run_id(self) -> str | None:
        """The id by which W&B knows the run, later its `resume_id`; None before entering."""
        return self._run.id if self._run else self._id

    def __enter__(self) -> "WandbTracker":
        with ExitStack() as stack:
            stack.enter_context(_keep_files_below(self.folder / "wandb"))
            stack.callback(_shut_down, self._wandb)
            self._run = self._open()
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
        with self._stack:
            try:
                self._run.finish(exit_code=0 if kind is None else 1)
                if not self._run.offline:  # what was uploaded needs no second copy on disk
                    shutil.rmtree(self.folder / "wandb" / "artifacts", ignore_errors=True)
            except TimeoutError:
                log.warning(
                    "W&B has not taken everything within %g s; `wandb sync %s` sends the rest",
                    *(self.finish_timeout, _folder_of(self._run)),
                )
            except Exception as reason:
                log.warning("W&B could not close the run: %s", _one_line(reason))

    def log_step(self, row: Mapping[str, float]) -> None:
        assert self._run
        self._tell(self._run.log, dict(row))

    def log_evaluation(self, epoch: int, metrics: Mapping[str, float | None]) -> None:
        assert self._run
        self._tell(self._run.log, {"epoch": epoch, **_defined(metrics)})

    def finish(self, outcome: Outcome) -> None:
        self._tell(self._report, outcome)

    def _tell(self, action: Callable[..., object], *arguments: object) -> None:
        """Do it, unless W&B was lost; whatever loses it is logged once and the run goes on."""
        if self._listens:
            try:
                action(*arguments)
            except Exception as reason:
                self._listens = False
                log.warning("W&B was lost, the run goes on without it: %s", _one_line(reason))

    def _open(self) -> "wandb.Run":
        mode = self._choose_mode()
        try:
            run = self._init(mode)
        except self._wandb.errors.CommError as reason:
            if self.mode == "online":
                raise UserError(
                    f"W&B did not open a run ({_one_line(reason)}); check the network and"
                    " `wandb login`, or use tracker.mode=offline."
                ) from None
            log.warning("W&B did not open a run, so it is kept offline: %s", _one_line(reason))
            _shut_down(self._wandb)  # it goes on trying, and holds the id
            run = self._init("offline")
        except self._wandb.errors.UsageError as reason:
            raise UserError(f"W&B refuses the run: {_one_line(reason)}") from None
        if run.offline:
            log.info("W&B is offline; `wandb sync %s` uploads the run", _folder_of(run))
        elif run.url:
            log.info("W&B shows the run at %s", run.url)
        return run

    def _set_up(self) -> "wandb.Settings":
        """What wandb knows from the environment and its settings files, with its console quiet."""
        return self._wandb.setup(self._wandb.Settings(silent=True)).settings

    def _choose_mode(self) -> str:
        settings = self._set_up()
        if self.mode == "offline":
            return "offline"
        if self.mode == "auto" and settings.mode != "online":
            return settings.mode
        try:
            if self._wandb.login(prompt=False, verify=False):
                return "online"
            reason = "no API key is configured"
        except self._wandb.errors.AuthenticationError as error:
            reason = _one_line(error)
            log.warning("W&B cannot use the credentials it found: %s", reason)
        if self.mode == "online":
            raise UserError(
                f"W&B cannot go online: {reason}; run `wandb login`, or use tracker.mode=offline."
            )
        return "offline"

    def _init(self, mode: str) -> "wandb.Run":
        # One id for both attempts, as the server may have heard the first without answering.
        self._id = self._id or self._set_up().run_id or secrets.token_hex(8)
        earlier_parts = set(self.folder.glob("wandb/run-*"))
        try:
            return self._wandb.init(
                **self._arguments,
                id=self._id,
                resume="allow",
                dir=self.folder,
                mode=mode,
                reinit="finish_previous",
                save_code=False,
                settings=self._wandb.Settings(
                    silent=True,
                    console="off",
                    init_timeout=self.init_timeout,
                    finish_timeout=self.finish_timeout,
                    finish_timeout_raises=True,
                ),
            )
        except self._wandb.Error:
            for part in set(self.folder.glob("wandb/run-*")) - earlier_parts:
                shutil.rmtree(part, ignore_errors=True)
            raise

    def _report(self, outcome: Outcome) -> None:
        assert self._run
        self._run.summary.update(_defined({**outcome.metrics, **outcome.timing}))
        self._run.log({"predictions": predictions_table(self._wandb, outcome.predictions)})
        if self.images and outcome.panels:
            self._run.log({"panels": panels_table(self._wandb, outcome.panels)})
        for name, curve in outcome.curves.items():
            self._run.log({name: curve_chart(self._wandb, curve)})


def latest_run_id(folder: Path) -> str | None:
    """The id of the W&B run that was last kept below a run folder; None where there is none."""
    records = sorted(folder.glob("wandb/*run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime)
    return records[-1].stem.removeprefix("run-") if records else None


def _import_wandb() -> Any:
    try:
        import wandb
    except ModuleNotFoundError as error:
        if error.name != "wandb":
            raise
        raise UserError(
            "The tracker 'wandb' needs the package wandb, which is not installed;"
            " run `pip install wandb` or use tracker=none."
        ) from None
    return wandb


@contextmanager
def _keep_files_below(folder: Path) -> Iterator[None]:
    """Point wandb's staging area and cache into the run folder, unless the user chose others."""
    places = {"WANDB_DATA_DIR": folder, "WANDB_CACHE_DIR": folder / "cache"}
    ours = {name: str(place) for name, place in places.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _shut_down(wandb: Any) -> None:
    """End wandb's helper process, which knows the folder and the settings of this run only."""
    try:
        wandb.teardown()
    except (Exception, SystemExit) as reason:  # wandb raises SystemExit if its helper died badly
        log.warning("W&B's helper process did not end in order: %s", _one_line(reason))


def _define_axes(run: "wandb.Run") -> None:
    run.define_metric("epoch")
    run.define_metric("step")
    run.define_metric("train/*", step_metric="step")
    for prefix in ("test", "threshold", "oracle"):
        run.define_metric(f"{prefix}/*", step_metric="epoch")


def _defined(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if value is not None}


def _folder_of(run: "wandb.Run") -> Path:
    return Path(run.dir).parent


def _one_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
