"""From the command line of a multirun to its jobs, each with its checked configuration."""

import pickle
from collections.abc import Collection, Sequence
from dataclasses import dataclass, is_dataclass
from itertools import compress
from operator import not_
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from cfa_lab.cli.arguments import quoted
from cfa_lab.cli.literal import literal
from cfa_lab.cli.schema import dotted_keys, to_config
from cfa_lab.config import Config


@dataclass(frozen=True, kw_only=True)
class Job:
    """One combination of values."""

    overrides: list[str]
    """As on the command line of a single run."""
    config: Config
    composed: DictConfig
    """Hydra's configuration of the job, the part below `hydra` included."""
    subdir: str
    """Its folder's name below the sweep's."""

    @property
    def settings(self) -> dict[str, str]:
        """What the command line or the experiment chose for it: key -> value."""
        parts = (override.partition("=") for override in self.overrides)
        return {key: value for key, _, value in parts}

    @property
    def arguments(self) -> list[str]:
        """What a launcher takes. The folder is part of it: launchers number what they launch, and
        jobs that are done already are not launched."""
        return [*self.overrides, f"hydra.sweep.subdir={quoted(self.subdir)}"]


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


def task_part(composed: DictConfig) -> DictConfig:
    """A copy of the part that is ours."""
    task = pickle.loads(pickle.dumps(composed, -1))  # several times as fast as a deep copy
    with read_write(task), open_dict(task):
        del task["hydra"]
    return task


class Composer:
    """Composes what a launcher will compose, quickly.

    Composing from files takes a tenth of a second. Plain values come last in Hydra's order, so jobs
    that choose the same files are composed once and their values set afterwards. `plain` names
    further keys that decide nothing but their own value.
    """

    def __init__(self, master: DictConfig, loader: ConfigLoader, *, plain: Collection[str] = ()):
        self._master = master
        self._loader = loader
        self._parser = OverridesParser.create(config_loader=loader)
        self._composed: dict[tuple[str, ...], bytes] = {}  # read again faster than copied
        self._parsed: dict[str, Override] = {}
        groups = {key for key in Config.__dataclass_fields__ if _is_group(key)}
        self._plain = {*dotted_keys(), *plain} - groups
        raw: Any = OmegaConf.to_container(master.hydra, resolve=False)
        if "override_dirname" in raw["sweep"]["subdir"]:
            self._plain = set()  # such a name is made of all overrides while composing

    def job(self, overrides: list[str], number: int) -> Job:
        """A job; raises UserError or Hydra's exception where there is no such configuration."""
        composed = self.compose(overrides, number)
        return Job(
            overrides=overrides,
            config=to_config(task_part(composed)),
            composed=composed,
            subdir=str(OmegaConf.select(composed, "hydra.sweep.subdir")),
        )

    def compose(self, overrides: list[str], number: int) -> DictConfig:
        """Hydra's configuration of a job; raises Hydra's exception where there is none."""
        for text in overrides:
            if text not in self._parsed:
                (self._parsed[text],) = self._parser.parse_overrides([text])
        parsed = [self._parsed[text] for text in overrides]
        plain = [
            override.type is OverrideType.CHANGE and override.get_key_element() in self._plain
            for override in parsed
        ]
        files = tuple(o for o, is_plain in zip(overrides, plain, strict=True) if not is_plain)
        if files not in self._composed:
            read = self._loader.load_sweep_config(self._master, list(files))
            self._composed[files] = pickle.dumps(read, -1)
        composed = pickle.loads(self._composed[files])
        for override, is_plain in zip(parsed, plain, strict=True):
            if is_plain:
                _set(composed, override.get_key_element(), override.value(), override.input_line)
        with open_dict(composed):
            composed.hydra.job.num, composed.hydra.job.id = number, str(number)
            own = [o.startswith("hydra.") for o in overrides]
            composed.hydra.overrides.task = [*compress(overrides, map(not_, own))]
            before = self._master.hydra.overrides.hydra
            composed.hydra.overrides.hydra = [*before, *compress(overrides, own)]
        return composed


def _set(composed: DictConfig, key: str, value: Any, line: str | None) -> None:
    try:
        OmegaConf.update(composed, key, value, merge=True)
    except OmegaConfBaseException as error:
        raise HydraException(f"Error merging override {line}") from error


def _is_group(key: str) -> bool:
    """Whether a top-level key chooses a file: `preset` does, though its value is a word."""
    return is_dataclass(Config.__dataclass_fields__[key].type) or key == "preset"
