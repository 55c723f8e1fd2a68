"""A job of a multirun, and what composes its configuration as Hydra does, quickly."""

import pickle
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from functools import partial
from itertools import compress
from operator import not_
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from cfa_lab.cli.arguments import quoted
from cfa_lab.cli.schema import dotted_keys, to_config
from cfa_lab.config import Config

_WHOLE_NUMBER = re.compile(r"([A-Za-z_][\w.]*)=(0|-?[1-9]\d{0,17})")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One combination of values."""

    overrides: list[str]
    """As on the command line of a single run."""
    config: Config
    subdir: str
    """Its folder's name below the sweep's."""
    compose: Callable[[], DictConfig] = field(repr=False, compare=False)
    """Gives Hydra's configuration of the job, the part below `hydra` included, to look at: it is
    another job's as soon as that one is asked for."""

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
        self._live: dict[tuple[str, ...], _Live] = {}
        self._parsed: dict[str, Override] = {}
        groups = {key for key in Config.__dataclass_fields__ if _is_group(key)}
        self._plain = {*dotted_keys(), *plain} - groups
        raw: Any = OmegaConf.to_container(master.hydra, resolve=False)
        self._named_by_overrides = "override" in raw["sweep"]["subdir"]
        if "override_dirname" in raw["sweep"]["subdir"]:
            self._plain = set()  # such a name is made of all overrides while composing

    def job(self, overrides: list[str], number: int) -> Job:
        """A job; raises UserError or Hydra's exception where there is no such configuration."""
        live = self._set(overrides, number)
        return Job(
            overrides=overrides,
            config=live.config(),
            subdir=str(OmegaConf.select(live.composed, "hydra.sweep.subdir")),
            compose=partial(self._told, overrides, number),
        )

    def compose(self, overrides: Sequence[str], number: int) -> DictConfig:
        """Hydra's configuration of a job, for keeps; raises its exception where there is none."""
        files, values = self._parts(overrides)
        composed = self._fresh(files)
        for key, override in values.items():
            _set(composed, key, override)
        _number(composed, number)
        self._tell_overrides(composed, overrides)
        return composed

    def _set(self, overrides: Sequence[str], number: int) -> "_Live":
        """The configuration of the same files, set for this job."""
        files, values = self._parts(overrides)
        live = self._live.pop(files, None)  # it comes back if all goes well
        if live is None or not live.takes(values):
            live = _Live(self._fresh(files))
        live.set(values)
        _number(live.composed, number)
        if self._named_by_overrides:
            self._tell_overrides(live.composed, overrides)
        self._live[files] = live
        return live

    def _told(self, overrides: Sequence[str], number: int) -> DictConfig:
        """Likewise, with all that stands below `hydra`."""
        composed = self._set(overrides, number).composed
        self._tell_overrides(composed, overrides)
        return composed

    def _parts(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Override]]:
        """The overrides that choose files, and by key those that set a value afterwards."""
        files: list[str] = []
        values: dict[str, Override] = {}
        for text in overrides:
            parsed = self._parsed.get(text) or self._parse(text)
            key = parsed.get_key_element()
            if parsed.type is OverrideType.CHANGE and key in self._plain:
                values.pop(key, None)  # the last of equal keys counts, at its place
                values[key] = parsed
            else:
                files.append(text)
        return tuple(files), values

    def _parse(self, text: str) -> Override:
        found = _WHOLE_NUMBER.fullmatch(text)
        if found and found[1] in self._plain:  # as seeds are, and their parser is slow
            parsed = Override(
                type=OverrideType.CHANGE,
                key_or_group=found[1],
                value_type=ValueType.ELEMENT,
                _value=int(found[2]),
                input_line=text,
            )
        else:
            (parsed,) = self._parser.parse_overrides([text])
        self._parsed[text] = parsed
        return parsed

    def _fresh(self, files: tuple[str, ...]) -> DictConfig:
        """A configuration of these files that is nobody else's."""
        if files not in self._composed:
            read = self._loader.load_sweep_config(self._master, list(files))
            self._composed[files] = pickle.dumps(read, -1)
        return pickle.loads(self._composed[files])

    def _tell_overrides(self, composed: DictConfig, overrides: Sequence[str]) -> None:
        """Let the part below `hydra` say what the job was asked with."""
        own = [o.startswith("hydra.") for o in overrides]
        with open_dict(composed):
            composed.hydra.overrides.task = [*compress(overrides, map(not_, own))]
            before = self._master.hydra.overrides.hydra
            composed.hydra.overrides.hydra = [*before, *compress(overrides, own)]


class _Live:
    """The configuration of one choice of files, set anew for each job.

    Only values that another job has otherwise are set: to copy all of it for each job takes ten
    times as long.
    """

    def __init__(self, composed: DictConfig):
        self.composed = composed
        self._task = task_part(composed)
        self._lines: dict[str, str | None] = {}
        self._is_checked = False

    def takes(self, values: Mapping[str, Override]) -> bool:
        """Whether all that was set before is set again; mappings would be merged with it."""
        plain = not any(isinstance(override.value(), dict) for override in values.values())
        return plain and self._lines.keys() <= values.keys()

    def set(self, values: Mapping[str, Override]) -> None:
        """Set what differs; raises Hydra's exception for a value that its key does not take."""
        for key, override in values.items():
            if self._lines.get(key) != (line := override.input_line) or line is None:
                _set(self.composed, key, override)
                if not key.startswith("hydra."):
                    _set(self._task, key, override)
                self._lines[key] = line

    def config(self) -> Config:
        """The checked configuration as it is set now; raises UserError."""
        if self._is_checked:  # keys that are plain are known ones
            return OmegaConf.to_object(self._task)  # pyright: ignore[reportReturnType]
        config = to_config(self._task)
        self._is_checked = True
        return config


def _number(composed: DictConfig, number: int) -> None:
    with open_dict(composed):
        composed.hydra.job.num, composed.hydra.job.id = number, str(number)


def _set(composed: DictConfig, key: str, override: Override) -> None:
    try:
        OmegaConf.update(composed, key, override.value(), merge=True)
    except OmegaConfBaseException as error:
        raise HydraException(f"Error merging override {override.input_line}") from error


def _is_group(key: str) -> bool:
    """Whether a top-level key chooses a file: `preset` does, though its value is a word."""
    return is_dataclass(Config.__dataclass_fields__[key].type) or key == "preset"
