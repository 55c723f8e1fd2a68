"""cfa_lab's launchers. Hydra takes plugins from packages below `hydra_plugins` only; the work is
done in `cfa_lab.launch`, which is imported when jobs are launched."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from cfa_lab.launch.slurm.options import Options

log = logging.getLogger("cfa_lab.launch")


class CfaLabLauncher(Launcher):
    """What all of them share; `launch` is each one's own."""

    num_parallel: int | None = None
    """Jobs that run at once; None where that is for others to decide."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def batch(self, job_overrides: Sequence[Sequence[str]], first: int) -> Any:
        """The jobs, as the engines take them."""
        from cfa_lab.cli.launching import Batch

        return Batch(job_overrides, first, self.config, self.hydra_context, self.task_function)


@dataclass
class ParallelConf:
    """Keys below `hydra.launcher` of `hydra/launcher=parallel`."""

    _target_: str = "hydra_plugins.cfa_lab_launchers.ParallelLauncher"
    n_jobs: int = 2
    """Jobs at once; -1 is one for each core."""
    retries: int = 1
    """How often a job is started again whose process was killed."""


class ParallelLauncher(CfaLabLauncher):
    """Jobs side by side on this machine."""

    def __init__(self, n_jobs: int, retries: int):
        self.n_jobs, self.retries = n_jobs, retries

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take note of what jobs are made of; raises UserError for a number that is none."""
        from cfa_lab.launch.parallel import Workers, count_workers

        self.workers = Workers()
        self.num_parallel = count_workers(self.n_jobs)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from cfa_lab.launch.parallel import run_parallel

        batch = self.batch(job_overrides, initial_job_idx)
        assert self.num_parallel
        ends = run_parallel(
            batch,
            num_workers=self.num_parallel,
            retries=self.retries,
            say=log.info,
            workers=self.workers,
        )
        return batch.returns(ends)


@dataclass(kw_only=True)
class SlurmConf(Options):
    """Keys below `hydra.launcher` of `hydra/launcher=slurm`."""

    _target_: str = "hydra_plugins.cfa_lab_launchers.SlurmLauncher"
    cancel: bool = False
    """End the jobs that a command like this one left; `--cancel` sets it."""


class SlurmLauncher(CfaLabLauncher):
    """Jobs of a Slurm cluster."""

    def __init__(self, cancel: bool, **keys: Any):
        self.cancels = cancel
        values: Any = OmegaConf.to_container(OmegaConf.create(keys), resolve=True)
        self.options = Options(**values)

    def cancel(self, job_overrides: Sequence[Sequence[str]]) -> int:
        """End the jobs of these that run or wait; returns how many that were."""
        from cfa_lab.launch.slurm.watch import cancel_slurm

        return cancel_slurm(self.batch(job_overrides, 0), root=self._root())

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from cfa_lab.cli.launching import told
        from cfa_lab.errors import UserError
        from cfa_lab.launch.slurm.watch import run_slurm

        if self.cancels:  # a multirun does not get here
            raise UserError("--cancel ends the jobs of a multirun; end a search's by scancel")
        batch, root = self.batch(job_overrides, initial_job_idx), self._root()
        ends = run_slurm(batch, root=root, options=self.options, say=log.info, tell=told)
        return batch.returns(ends)

    def _root(self) -> Path:
        from cfa_lab.study.index import study_root

        return study_root(Path(self.config.hydra.sweep.dir).absolute())


@dataclass
class RayConf:
    """Keys below `hydra.launcher` of `hydra/launcher=ray`."""

    _target_: str = "hydra_plugins.cfa_lab_launchers.RayLauncher"
    address: str | None = None
    """`auto`, `host:port` or `ray://host:port`; null is a Ray of this machine."""
    num_cpus: float = 1
    """Of each job, as Ray counts them."""
    num_gpus: float = 0
    retries: int = 2
    """How often a job is started again that Ray lost."""
    init: dict[str, Any] = field(default_factory=dict)
    """Further arguments of `ray.init`."""


class RayLauncher(CfaLabLauncher):
    """Tasks of a Ray."""

    def __init__(self, **keys: Any):
        self.keys: Any = OmegaConf.to_container(OmegaConf.create(keys), resolve=True)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from cfa_lab.cli.launching import told
        from cfa_lab.launch.ray import run_ray

        batch = self.batch(job_overrides, initial_job_idx)
        return batch.returns(run_ray(batch, **self.keys, say=log.info, tell=told))


for name, node in {"parallel": ParallelConf, "slurm": SlurmConf, "ray": RayConf}.items():
    ConfigStore.instance().store(
        group="hydra/launcher", name=f"cfa_lab_{name}", node=node, provider="cfa_lab"
    )
