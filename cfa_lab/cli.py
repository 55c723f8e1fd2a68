"""The command line: `python -m cfa_lab key=value ...` is a run, `python -m cfa_lab word ...` more.

The only file that sees Hydra's configuration objects. Imports torch only once a job really starts.
"""

import errno
import importlib
import logging
import os
import re
import shlex
import signal
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cfa_lab.config import Config, conf_dir
from cfa_lab.errors import UserError
from cfa_lab.files import write_atomically

log = logging.getLogger(__name__)

NOISE = ("full_key", "object_type", "reference_type", "See http")
"""Beginnings of lines in Hydra's and OmegaConf's messages that tell a user nothing."""

SUBCOMMANDS = {
    "bench": "cfa_lab.bench",
    "cache": "cfa_lab.cache",
    "dashboard": "cfa_lab.tracking.dashboard",
    "report": "cfa_lab.results.report",
    "sync": "cfa_lab.tracking.sync",
}
"""Word -> module whose `main(arguments)` serves it."""

CONFIGURED = {"doctor": "cfa_lab.doctor"}
"""Likewise for `main(arguments, compose)`: sub-commands that take a run's settings."""

_failure: tuple[BaseException, Path] | None = None
"""What ended a single run, kept past Hydra, which would print its own account of it."""


def main() -> None:
    """Run the command line; a user's error is one line and exit code 1."""
    signal.signal(signal.SIGTERM, _interrupt)  # batch systems end jobs so: same end as Ctrl-C
    try:
        _dispatch(sys.argv[1:])
    except UserError as error:
        _exit(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _exit(_describe(error))
    except OSError as error:
        _exit(f"{error.filename or 'the disk'}: {error.strerror}; choose another hydra.run.dir")
    except KeyboardInterrupt:
        _exit("interrupted", code=130)
    if _failure is not None:
        _report(*_failure)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _dispatch(arguments: list[str]) -> None:
    first = arguments[0] if arguments else ""
    if first in SUBCOMMANDS:
        importlib.import_module(SUBCOMMANDS[first]).main(arguments[1:])
        return
    if first in CONFIGURED:
        importlib.import_module(CONFIGURED[first]).main(arguments[1:], compose)
        return
    if first and not first.startswith("-") and "=" not in first and "~" not in first:
        raise UserError(
            f"{first!r} is neither a setting (key=value) nor a sub-command; "
            f"sub-commands: {', '.join((*SUBCOMMANDS, *CONFIGURED))}; see python -m cfa_lab --help"
        )
    _refuse_emptied_groups(arguments)
    sys.argv[1:] = _resumed(arguments)
    _refuse_used_folder(sys.argv[1:])
    # with this set Hydra hands exceptions on instead of printing its own account and exiting
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    ConfigStore.instance().store(name="schema", node=Config)
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job)()


def compose(overrides: list[str]) -> Config:
    """The checked configuration of a run with these settings, which is not started."""
    _refuse_emptied_groups(overrides)
    ConfigStore.instance().store(name="schema", node=Config)
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        return to_config(hydra.compose("config", overrides=overrides))


def job(cfg: DictConfig) -> float | None:
    """One Hydra job; returns image AUROC, the number that sweepers optimise."""
    global _failure
    folder = Path(HydraConfig.get().runtime.output_dir)
    hydra_config = HydraConfig.instance().cfg
    try:
        config = to_config(cfg)
        from cfa_lab.run import run

        result = run(config, folder, on_begin=lambda: _save_settings(folder, cfg, hydra_config))
    except (Exception, KeyboardInterrupt) as error:
        _remove_if_empty(folder)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            log.error("%s failed: %s", folder.name, _describe(error))
            raise
        _failure = (error, folder)
        return None
    from cfa_lab.results.show import show_result

    show_result(result)
    return result.evaluation.metrics["test/image_auroc"]


def _save_settings(folder: Path, cfg: DictConfig, hydra_config: Any) -> None:
    """Write `.hydra/` as Hydra does, but not before training begins, and only the first time."""
    target = folder / ".hydra"
    if (target / "overrides.yaml").is_file():
        return
    target.mkdir(exist_ok=True)
    task = [a for a in hydra_config.hydra.overrides.task if not a.startswith("resume=")]
    write_atomically(target / "config.yaml", OmegaConf.to_yaml(cfg))
    write_atomically(
        target / "hydra.yaml", OmegaConf.to_yaml(OmegaConf.masked_copy(hydra_config, ["hydra"]))
    )
    write_atomically(target / "overrides.yaml", OmegaConf.to_yaml(OmegaConf.create(task)))


def to_config(cfg: DictConfig) -> Config:
    """Turn Hydra's configuration into checked dataclasses; raises UserError for unknown keys."""
    _refuse_unknown(cfg, Config, "")
    return OmegaConf.to_object(cfg)  # pyright: ignore[reportReturnType]


def _refuse_unknown(node: DictConfig, schema: Any, prefix: str) -> None:
    known = {field.name: field.type for field in fields(schema)}
    for key in node:
        name = f"{prefix}{key}"
        if key not in known:
            close = _closest(str(key), list(known))
            raise UserError(
                f"unknown key {name!r}{close}; python -m cfa_lab --cfg job shows all keys"
            )
        if is_dataclass(known[str(key)]) and not OmegaConf.is_missing(node, key):
            _refuse_unknown(node[key], known[str(key)], f"{name}.")


def _closest(word: str, known: list[str]) -> str:
    from difflib import get_close_matches

    matches = get_close_matches(word, known, n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def _given(arguments: list[str]) -> dict[str, str]:
    """Keys and unquoted values of the command line; the last of equal keys counts."""
    parts = (argument.partition("=") for argument in arguments)
    return {key: value.strip("'\"") for key, _, value in parts}


def _refuse_emptied_groups(arguments: list[str]) -> None:
    """Hydra answers `loss=null` with an error of its own making; name what is allowed instead."""
    given = _given(arguments)
    for group in (folder.name for folder in conf_dir().iterdir() if folder.is_dir()):
        if given.get(group) in ("null", "", "~") and group != "experiment":
            options = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
            raise UserError(f"{group}={given[group]} is no option; allowed: {', '.join(options)}")


def _resumed(arguments: list[str]) -> list[str]:
    """For `resume=<folder>`: the arguments that started that run, these ones, and its folder."""
    value = _given(arguments).get("resume", "auto")
    if value in ("auto", "never"):
        return arguments
    if {"-m", "--multirun"} & set(arguments):
        raise UserError("resume=<folder> continues one run; leave out -m")
    folder = Path(value).expanduser().absolute()
    saved = folder / ".hydra" / "overrides.yaml"
    if not saved.is_file():
        raise UserError(
            f"resume={folder} is no run folder; give one that holds .hydra/, auto or never"
        )
    from cfa_lab.results.record import read_record

    if (record := read_record(folder)) is not None and record["status"] == "complete":
        raise UserError(f"{folder} holds a complete run already; there is nothing to resume")
    before = [str(argument) for argument in OmegaConf.load(saved)]
    now = [a for a in arguments if not a.startswith("resume=")]
    return [*before, *now, f"resume={_quoted(folder)}", f"hydra.run.dir={_quoted(folder)}"]


def _refuse_used_folder(arguments: list[str]) -> None:
    """Keep a new run out of a folder that holds one, finished or not."""
    given = _given(arguments)
    folder = given.get("hydra.run.dir", "")
    resuming = given.get("resume", "never") not in ("auto", "never")
    if folder and not resuming:
        for name in ("metrics.json", "history.csv"):
            if (Path(folder) / name).exists():
                raise UserError(
                    f"{folder} holds a run already; choose another hydra.run.dir or resume it"
                )


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", r"\'") + "'"


def _remove_if_empty(folder: Path) -> None:
    """Remove the folder Hydra made for a run that never began, and dated parents left empty."""
    for path in (folder, *folder.parents):
        inside = path == folder or {"outputs", "multirun"} & set(path.parts)
        if not inside or not path.is_dir() or any(path.iterdir()) or path == Path.cwd():
            return
        path.rmdir()


def _report(error: BaseException, folder: Path) -> NoReturn:
    """End the program for a job's failure: one line for a user's error, a traceback for ours."""
    begun = (folder / ".hydra" / "overrides.yaml").is_file()
    resume = f"; continue with: python -m cfa_lab {shlex.quote(f'resume={folder}')}"
    if isinstance(error, KeyboardInterrupt):
        _exit(f"interrupted{resume if begun else ''}", code=130)
    if isinstance(error, UserError):
        _exit(f"{error}{resume if begun and _is_trained(folder) else ''}")
    if isinstance(error, OmegaConfBaseException):
        _exit(_describe(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        _exit(f"the disk that holds {folder} is full; make room{resume if begun else ''}")
    raise error


def _is_trained(folder: Path) -> bool:
    """Whether a failed run got past its training, so that going on is worth it."""
    from cfa_lab.results.record import read_record

    return "time/training_seconds" in (read_record(folder) or {}).get("timing", {})


def _describe(error: BaseException) -> str:
    """Hydra's and OmegaConf's many-line messages in one line."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    text = str(cause).partition("Config search path")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip(" ^")]
    keys = [line.partition(":")[2].strip() for line in lines if line.startswith("full_key")]
    lines = [line for line in lines if not line.startswith(NOISE)]
    message = "; ".join(lines).replace(":; ", ": ").replace(".; To append", "; to append")
    if "Lexer" in message or "parser" in str(type(error)).lower():
        message += "; put values with special characters in quotes: 'category=\"...\"'"
    if (match := re.search(r"Key '([^']+)' not in", message)) is not None:
        key = keys[0] if keys else match[1]
        close = _closest(key, _dotted_keys(Config))
        return f"unknown key {key!r}{close}; python -m cfa_lab --cfg job shows all keys"
    return f"{keys[0]}: {message}" if keys and keys[0] not in message else message


def _dotted_keys(schema: Any, prefix: str = "") -> list[str]:
    return [
        key
        for field in fields(schema)
        for key in (
            [f"{prefix}{field.name}"]
            + (
                _dotted_keys(field.type, f"{prefix}{field.name}.")
                if is_dataclass(field.type)
                else []
            )
        )
    ]


def _exit(message: str, *, code: int = 1) -> NoReturn:
    print(f"cfa_lab: {message}", file=sys.stderr)
    sys.exit(code)
