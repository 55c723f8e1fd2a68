"""What is checked and changed in the arguments before Hydra sees them."""

import os
import re
from dataclasses import fields
from pathlib import Path

from cfa_lab.config import Config, conf_dir
from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.folders import is_kept
from cfa_lab.records.record import read_record
from cfa_lab.texts import read_yaml

PATHS = {
    *("dataset.root", "dataset.made", "features.folder", "backbone.weights", "resume"),
    *("hydra.run.dir", "hydra.sweep.dir"),
}
"""Keys whose values are paths."""

_SETTING = re.compile(r"(?![+~]*hydra\b)(\+{0,2}[A-Za-z_][\w.@/:$-]*=|~[A-Za-z_])")
"""How an argument begins that sets something of a run."""

CANCEL = "--cancel"
MULTIRUN_FLAGS = {"-m", "--multirun"}


def as_listing(arguments: list[str]) -> list[str]:
    """The arguments with which Hydra lists the jobs of a multirun and runs none."""
    if "hydra/sweeper" in _given(arguments):
        raise UserError("a search chooses its jobs as it goes; plan lists those of grids only")
    others = [argument for argument in arguments if argument not in MULTIRUN_FLAGS]
    return ["-m", *others, "hydra.sweeper.list_only=true"]


def as_cancelling(arguments: list[str]) -> list[str]:
    """The arguments with which a multirun ends its jobs on a cluster instead of running them."""
    if CANCEL not in arguments:
        return arguments
    if _given(arguments).get("hydra/launcher") != "slurm":
        raise UserError(
            f"{CANCEL} ends jobs that hydra/launcher=slurm left with Slurm; put it behind the "
            "command that handed them in (jobs of other launchers end with their command)"
        )
    return [*(a for a in arguments if a != CANCEL), "hydra.launcher.cancel=true"]


def refuse_emptied_groups(arguments: list[str]) -> None:
    """Hydra answers `loss=null` with an error of its own making; name what is allowed instead."""
    given = _given(arguments)
    known = {field.name for field in fields(Config)}
    for key in (argument[1:].partition("=")[0] for argument in arguments if argument[:1] == "~"):
        if key.partition(".")[0] in known:
            raise UserError(
                f"~{key} takes {key} away, which every run needs; set it instead: "
                f"python -m cfa_lab explain {key}"
            )
    for group in (folder.name for folder in conf_dir().iterdir() if folder.is_dir()):
        if given.get(group) in ("null", "", "~") and group != "experiment":
            options = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
            raise UserError(f"{group}={given[group]} is no option; allowed: {', '.join(options)}")


def resumed(arguments: list[str]) -> list[str]:
    """For `resume=<folder>`: the arguments that started that run, these ones, and its folder."""
    value = _given(arguments).get("resume", "auto")
    if value in ("auto", "never"):
        return arguments
    if MULTIRUN_FLAGS & set(arguments):
        raise UserError("resume=<folder> continues one run; leave out -m")
    folder = Path(value).expanduser().absolute()
    if folder.is_symlink():  # outputs/latest
        folder = folder.resolve()
    saved = folder / names.OVERRIDES
    if not saved.is_file():
        raise UserError(
            f"resume={folder} is no run folder; give one that holds {names.SETTINGS}/, auto or "
            "never"
        )
    if (read_record(folder) or {}).get("status") == "complete":
        raise UserError(f"{folder} holds a complete run already; there is nothing to resume")
    before = _settings_in(saved)
    now = [a for a in arguments if not a.startswith("resume=")]
    return [*before, *now, f"resume={quoted(folder)}", f"hydra.run.dir={quoted(folder)}"]


def release_outside_id(arguments: list[str]) -> str | None:
    """Take `WANDB_RUN_ID` out of the environment where it cannot be meant for this command.

    It names the folder and the W&B run of one run. Jobs of a multirun must not share one, and where
    its folder is there already, only the same command goes on in it. Returns what to tell the user;
    None where nothing was done.
    """
    run_id = os.environ.get("WANDB_RUN_ID")
    if run_id is None:
        return None
    given, folder = _given(arguments), Path("outputs") / run_id
    if MULTIRUN_FLAGS & {*arguments}:
        reason = "jobs of a multirun do not share an id"
    elif not run_id or run_id in (".", "..") or {*run_id} & {*r"/\#?%:"}:
        reason = "it is no id of a run"
    elif "hydra.run.dir" in given or given.get("resume", "never") not in ("auto", "never"):
        return None
    elif folder.exists() and not _goes_on(folder, arguments):
        reason = f"{folder} holds another run"
    else:
        return None
    del os.environ["WANDB_RUN_ID"]
    return f"WANDB_RUN_ID={run_id} is not used: {reason}; unset it if it was left in the shell"


def _goes_on(folder: Path, arguments: list[str]) -> bool:
    """Whether a folder holds an unfinished run that this very command began."""
    saved = folder / names.OVERRIDES
    if not saved.is_file() or (read_record(folder) or {}).get("status") == "complete":
        return False
    try:
        before = _settings_in(saved)
    except UserError:
        return False
    return before == [a for a in arguments if not a.startswith(("-", "resume=", "hydra"))]


def _settings_in(saved: Path) -> list[str]:
    """The settings that a run was started with; raises UserError for a file that no run wrote.

    It may come from anywhere, so nothing in it chooses what is run: no flags, nothing of Hydra's.
    """
    found = read_yaml(saved)
    if found is None:
        return []
    if not isinstance(found, list) or not all(_SETTING.match(str(one)) for one in found):
        raise UserError(f"{saved} is no list of a run's settings; start a new run without resume=")
    return [str(one) for one in found]


def refuse_used_folder(arguments: list[str]) -> None:
    """Keep a new run out of a folder that holds one, finished or not."""
    given = _given(arguments)
    folder = given.get("hydra.run.dir", "")
    resuming = given.get("resume", "never") not in ("auto", "never")
    if folder and not resuming and is_kept(Path(folder)):
        raise UserError(f"{folder} holds a run already; choose another hydra.run.dir or resume it")


def quoted(value: str | Path) -> str:
    """A value that Hydra's grammar takes literally."""
    # Backslashes before a quote, and only those, have to be doubled.
    text = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + (r"\'" if m[2] else ""), str(value))
    return f"'{text}'"


def expanded(argument: str) -> str:
    """The same with the home folder for a `~` that a shell leaves behind `key=`."""
    key, equals, value = argument.partition("=")
    if equals and key in PATHS and (value == "~" or value.startswith("~/")):
        return f"{key}={Path(value).expanduser()}"
    return argument


def overrides_first(arguments: list[str]) -> list[str]:
    """The same arguments without flags between settings, which Hydra's parser does not take."""
    settings = [a for a in arguments if not a.startswith("-") and ("=" in a or "~" in a)]
    others = [a for a in arguments if a not in settings]
    if arguments[: len(others)] == others:
        return arguments
    return [*settings, *others]


def without_plus(arguments: list[str]) -> list[str]:
    """`+group=option` of groups that have an option already, if only null, as `group=option`."""
    groups = {folder.name for folder in conf_dir().iterdir() if folder.is_dir()}
    pattern = re.compile(r"\+{1,2}(\w+)(?==)")
    return [a[m.start(1) :] if (m := pattern.match(a)) and m[1] in groups else a for a in arguments]


def _given(arguments: list[str]) -> dict[str, str]:
    """Keys and unquoted values of the command line; the last of equal keys counts."""
    parts = (argument.partition("=") for argument in arguments if "=" in argument)
    return {key: value.strip("'\"") for key, _, value in parts}
