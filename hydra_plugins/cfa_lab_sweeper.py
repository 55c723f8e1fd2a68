"""cfa_lab's sweeper. Hydra takes plugins from packages below `hydra_plugins` only; the work is done
in `cfa_lab.cli.multirun`, which is imported when a multirun starts."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class CfaLabSweeperConf:
    """Keys below `hydra.sweeper`."""

    _target_: str = "hydra_plugins.cfa_lab_sweeper.CfaLabSweeper"
    params: dict[str, str] | None = None
    """What an experiment sweeps over, as on the command line: key -> values with commas."""
    cases: Any = None
    """Overrides that belong together: axis -> list of texts; every axis is crossed with the others
    and with `params`."""
    list_only: bool = False
    """List the jobs and run none; `python -m cfa_lab plan` sets it."""


class WithLauncher(Sweeper):
    """What our sweepers share; Hydra registers none whose `sweep` is missing."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Make the launcher that the configuration chooses."""
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )


class CfaLabSweeper(WithLauncher):
    """Every combination of values, except what is done already; then a summary."""

    def __init__(self, params: dict[str, str] | None, cases: Any, list_only: bool):
        self.params = dict(params or {})
        self.cases = cases
        self.list_only = list_only

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs; raises UserError where some failed."""
        from cfa_lab.cli.combinations import combine
        from cfa_lab.cli.multirun import multirun

        assert self.hydra_context and self.config and self.launcher, "setup comes first"
        loader = self.hydra_context.config_loader
        return multirun(
            combine(arguments, self.params, self.cases, loader),
            self.config,
            loader,
            self.launcher,
            list_only=self.list_only,
        )


ConfigStore.instance().store(
    group="hydra/sweeper", name="cfa_lab", node=CfaLabSweeperConf, provider="cfa_lab"
)
