"""Between Hydra's launcher interface and `cfa_lab.launch`, which knows nothing of Hydra."""

import hashlib
import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

from hydra import version
from hydra.core.utils import JobReturn, JobRuntime, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from cfa_lab.cli import interrupts
from cfa_lab.cli.composer import Composer
from cfa_lab.cli.schema import VERSION_BASE
from cfa_lab.errors import UserError
from cfa_lab.launch.task import End, Task, packed


class Batch(Sequence[Task]):
    """The jobs that a sweeper hands to a launcher at once, each made when it is asked for."""

    def __init__(
        self,
        job_overrides: Sequence[Sequence[str]],
        first: int,
        config: DictConfig,
        hydra_context: HydraContext,
        task_function: TaskFunction,
    ):
        """`first` is the number of the first job, in Hydra's count."""
        setup_globals()
        self._overrides = [list(overrides) for overrides in job_overrides]
        self._first, self._function = first, task_function
        loader = hydra_context.config_loader
        self._composer = Composer(config, loader, plain=("hydra.sweep.subdir",))
        self._around = (JobRuntime.instance().get("name"), sys.argv, pickle.dumps(hydra_context))
        self._made: dict[int, Task] = {}

    def __len__(self) -> int:
        return len(self._overrides)

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> list[Task]: ...
    def __getitem__(self, index: int | slice) -> Task | list[Task]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        if index not in range(len(self)):
            raise IndexError(index)
        if index not in self._made:
            self._made[index] = self._make(index)
        return self._made[index]

    def returns(self, ends: Sequence[End]) -> list[JobReturn]:
        """The ends of the jobs, as Hydra's sweepers take them; without the configurations."""
        returned: list[JobReturn] = []
        for overrides, end in zip(self._overrides, ends, strict=True):
            status = JobStatus.FAILED if end.error else JobStatus.COMPLETED
            job = JobReturn(overrides=overrides, task_name=self._around[0], status=status)
            job.return_value = end.error or end.value
            returned.append(job)
        return returned

    def _make(self, i: int) -> Task:
        composed = self._composer.compose(self._overrides[i], self._first + i)
        folder = Path(composed.hydra.sweep.dir, composed.hydra.sweep.subdir).absolute()
        try:
            call = packed(run_elsewhere, *self._around, composed, self._function)
        except Exception as error:
            what = f"{self._function.__module__}.{self._function.__qualname__}"
            raise UserError(
                f"{what} cannot be called in another process ({error}); put it into a module of "
                "its own, or leave out hydra/launcher"
            ) from error
        return Task(name=folder.name, folder=folder, identity=_identity(composed), call=call)


def told(task: Task, end: End) -> str:
    """What a line about a job's end says."""
    return f"failed: {end.error}" if end.error else str(end.value)


def _identity(composed: DictConfig) -> str:
    """Equal for jobs that do the same, whichever study they are of."""
    settings: Any = OmegaConf.to_container(composed, resolve=False)
    del settings["hydra"]
    text = json.dumps([settings, str(Path.cwd())], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_elsewhere(
    name: str, command: list[str], context: bytes, composed: DictConfig, function: TaskFunction
) -> Any:
    """One job in a process of its own; raises what the job raises.

    `command` is the one that launched it, for the run's record.
    """
    interrupts.listen()
    sys.argv = command
    setup_globals()
    if VERSION_BASE:
        version.setbase(VERSION_BASE["version_base"])
    JobRuntime.instance().set("name", name)
    returned = run_job(
        hydra_context=pickle.loads(context),
        task_function=function,
        config=composed,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
    if returned.status is JobStatus.COMPLETED:
        return returned.return_value
    raise returned._return_value  # pyright: ignore[reportPrivateUsage]
