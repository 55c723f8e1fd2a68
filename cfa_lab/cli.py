"""The command line: `python -m cfa_lab key=value ...` is a run, `python -m cfa_lab word ...` more.

The only file that sees Hydra's configuration objects. Imports torch only once a job really starts.
"""

import importlib
import os
import shutil
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

SUBCOMMANDS = {"bench": "cfa_lab.bench", "cache": "cfa_lab.cache"}
"""Word -> module whose `main(arguments)` serves it."""

BEFORE_TRAINING = {".hydra", "wandb", "history.csv"}
"""What may stand in a run folder before anything is worth keeping."""

_failure: tuple[BaseException, Path] | None = None
"""What ended a single run, kept past Hydra, which would print its own account of it."""


def main() -> None:
    """Run the command line; a user's error is one line and exit code 1."""
    try:
        _dispatch(sys.argv[1:])
    except UserError as error:
        _exit(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _exit(_describe(error))
    if _failure is not None:
        _report(*_failure)


def _dispatch(arguments: list[str]) -> None:
    first = arguments[0] if arguments else ""
    if first in SUBCOMMANDS:
        importlib.import_module(SUBCOMMANDS[first]).main(arguments[1:])
        return
    if first and not first.startswith("-") and "=" not in first and "~" not in first:
        raise UserError(
            f"{first!r} is neither a setting (key=value) nor a sub-command; "
            f"sub-commands: {', '.join(SUBCOMMANDS)}; see python -m cfa_lab --help"
        )
    sys.argv[1:] = _resumed(arguments)
    _refuse_used_folder(sys.argv[1:])
    # with this set Hydra hands exceptions on instead of printing its own account and exiting
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    ConfigStore.instance().store(name="schema", node=Config)
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job)()


def job(cfg: DictConfig) -> float | None:
    """One Hydra job; returns image AUROC, the number that sweepers optimise."""
    global _failure
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        config = to_config(cfg)
        from cfa_lab.results.show import show_result
        from cfa_lab.run import run

        result = run(config, folder)
        show_result(result)
        return result.evaluation.metrics["test/image_auroc"]
    except (Exception, KeyboardInterrupt) as error:
        _discard_if_unused(folder)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise
        _failure = (error, folder)
        return None


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


def _resumed(arguments: list[str]) -> list[str]:
    """For `resume=<folder>`: the arguments that started that run, these ones, and its folder."""
    folders = [a.partition("=")[2] for a in arguments if a.startswith("resume=")]
    if not folders or folders[-1] in ("auto", "never"):
        return arguments
    folder = Path(folders[-1].strip("'\"")).expanduser().absolute()
    saved = folder / ".hydra" / "overrides.yaml"
    if not saved.is_file():
        raise UserError(
            f"resume={folder} is no run folder; give one that holds .hydra/, auto or never"
        )
    from cfa_lab.results.record import read_record

    if (record := read_record(folder)) is not None and record["status"] == "complete":
        raise UserError(f"{folder} holds a complete run already; there is nothing to resume")
    before = [str(a) for a in OmegaConf.load(saved) if not str(a).startswith("resume=")]
    now = [a for a in arguments if not a.startswith("resume=")]
    return [*before, *now, f"resume={_quoted(folder)}", f"hydra.run.dir={_quoted(folder)}"]


def _refuse_used_folder(arguments: list[str]) -> None:
    """Keep a new run out of a folder that holds one: Hydra would overwrite its settings."""
    parts = (argument.partition("=") for argument in arguments)
    given = {key: value for key, _, value in parts}
    folder = given.get("hydra.run.dir", "").strip("'\"")
    resuming = given.get("resume", "never") not in ("auto", "never")
    if folder and not resuming and (Path(folder) / "metrics.json").exists():
        raise UserError(f"{folder} holds a run already; choose another hydra.run.dir or resume it")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", r"\'") + "'"


def _discard_if_unused(folder: Path) -> None:
    """Remove the folder of a run that failed before training, and parents left empty."""
    if not folder.is_dir() or any(entry.name not in BEFORE_TRAINING for entry in folder.iterdir()):
        return
    shutil.rmtree(folder)
    for parent in list(folder.parents)[:2]:
        if not any(parent.iterdir()):
            parent.rmdir()


def _report(error: BaseException, folder: Path) -> NoReturn:
    """End the program for a job's failure: one line for a user's error, a traceback for ours."""
    resume = f"; continue with: python -m cfa_lab resume={folder}" if folder.is_dir() else ""
    if isinstance(error, KeyboardInterrupt):
        _exit(f"interrupted{resume}", code=130)
    if isinstance(error, UserError):
        _exit(f"{error}{resume}")
    if isinstance(error, OmegaConfBaseException):
        _exit(_describe(error))
    raise error


def _describe(error: Exception) -> str:
    """Hydra's and OmegaConf's many-line messages in one line."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    key = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("full_key")), ""
    )
    text = "; ".join(line for line in lines if not line.startswith(("full_key", "object_type")))
    return f"{key}: {text}" if key and key not in text else text


def _exit(message: str, *, code: int = 1) -> NoReturn:
    print(f"cfa_lab: {message}", file=sys.stderr)
    sys.exit(code)
