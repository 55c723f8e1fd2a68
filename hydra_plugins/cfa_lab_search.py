"""cfa_lab's search, where Hydra looks for plugins; the work is done in `cfa_lab.cli.search`."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from hydra_plugins.cfa_lab_sweeper import WithLauncher


@dataclass
class CfaLabSearchConf:
    """Keys below `hydra.sweeper`."""

    _target_: str = "hydra_plugins.cfa_lab_search.CfaLabSearch"
    params: dict[str, str] | None = None
    """What an experiment searches, as on the command line: key -> choice, range or interval."""
    metric: Any = "test/image_auroc"
    """A name in the metrics of a run's `metrics.json`, or a list of them."""
    direction: Any = "maximize"
    """`maximize` or `minimize`; a list for several metrics."""
    n_trials: int = 20
    """Points that the search has in the end, those of earlier commands included."""
    n_jobs: int = 1
    """Points at once, for launchers that run jobs side by side."""
    sampler: dict[str, Any] = field(default_factory=lambda: {"name": "tpe", "seed": 0})
    """Its name, its seed, and with `+hydra.sweeper.sampler.KEY=` any option of Optuna's class."""
    storage: str | None = None
    """A database such as `sqlite:///search.db`; a file below the studies' root if null."""
    study_name: str | None = None
    """A name for the search; made of what is searched if null."""


class CfaLabSearch(WithLauncher):
    """Optuna chooses the jobs, from what came out of the earlier ones."""

    def __init__(self, **options: Any):
        self.options: dict[str, Any] = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for key, value in options.items()
        }

    def sweep(self, arguments: list[str]) -> Any:
        """Search; raises UserError where no trial could be completed."""
        from cfa_lab.cli.search import search
        from cfa_lab.cli.search_options import Options

        assert self.hydra_context and self.config and self.launcher, "setup comes first"
        options = Options.read(**self.options)
        return search(
            arguments, options, self.config, self.hydra_context.config_loader, self.launcher
        )


ConfigStore.instance().store(
    group="hydra/sweeper", name="cfa_lab_search", node=CfaLabSearchConf, provider="cfa_lab"
)
