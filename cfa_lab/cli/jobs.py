"""From the command line of a multirun to its jobs, each with its checked configuration."""

from collections.abc import Sequence

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig

from cfa_lab.cli.composer import Composer, Job
from cfa_lab.cli.literal import literal
from cfa_lab.config import Config


def make_jobs(
    combinations: Sequence[Sequence[str]],
    master: DictConfig,
    loader: ConfigLoader,
    *,
    first: int = 0,
) -> list[Job]:
    """A job for each combination of overrides, numbered from `first` on; equal ones are made once.

    `category=all` is each category that the combination's data set has. Raises UserError or Hydra's
    own exception for the first combination that is no configuration.
    """
    composer = Composer(master, loader)
    jobs: dict[frozenset[str], Job] = {}

    def job(overrides: list[str]) -> Job:
        made = jobs.get(frozenset(overrides))
        return made or composer.job(overrides, first + len(jobs))

    for combination in map(list, combinations):
        made = job(combination)
        if made.config.category != "all":
            jobs[frozenset(combination)] = made
            continue
        others = [part for part in combination if not part.startswith("category=")]
        for category in _found_categories(made.config):
            single = [f"category={category}", *others]
            jobs[frozenset(single)] = job(single)
    return list(jobs.values())


def _found_categories(config: Config) -> list[str]:
    """Every category of the job's data set, as values of the command line."""
    from cfa_lab.run.tables import find_categories

    return [literal(category) for category in find_categories(config)]
