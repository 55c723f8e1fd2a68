"""What is checked and changed in the arguments before Hydra sees them."""

from pathlib import Path

from omegaconf import OmegaConf

from cfa_lab.config import conf_dir
from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.record import read_record

MULTIRUN_FLAGS = {"-m", "--multirun"}


def as_listing(arguments: list[str]) -> list[str]:
    """The arguments with which Hydra lists the jobs of a multirun and runs none."""
    if "hydra/sweeper" in _given(arguments):
        raise UserError("a search chooses its jobs as it goes; plan lists those of grids only")
    others = [argument for argument in arguments if argument not in MULTIRUN_FLAGS]
    return ["-m", *others, "hydra.sweeper.list_only=true"]


def refuse_emptied_groups(arguments: list[str]) -> None:
    """Hydra answers `loss=null` with an error of its own making; name what is allowed instead."""
    given = _given(arguments)
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
    saved = folder / names.OVERRIDES
    if not saved.is_file():
        raise UserError(
            f"resume={folder} is no run folder; give one that holds {names.SETTINGS}/, auto or "
            "never"
        )
    if (read_record(folder) or {}).get("status") == "complete":
        raise UserError(f"{folder} holds a complete run already; there is nothing to resume")
    before = [str(argument) for argument in OmegaConf.load(saved)]
    now = [a for a in arguments if not a.startswith("resume=")]
    return [*before, *now, f"resume={quoted(folder)}", f"hydra.run.dir={quoted(folder)}"]


def refuse_used_folder(arguments: list[str]) -> None:
    """Keep a new run out of a folder that holds one, finished or not."""
    given = _given(arguments)
    folder = given.get("hydra.run.dir", "")
    resuming = given.get("resume", "never") not in ("auto", "never")
    if folder and not resuming:
        for name in names.SIGNS:
            if (Path(folder) / name).exists():
                raise UserError(
                    f"{folder} holds a run already; choose another hydra.run.dir or resume it"
                )


def quoted(value: str | Path) -> str:
    """A value that Hydra's grammar takes literally."""
    return "'" + str(value).replace("'", r"\'") + "'"


def _given(arguments: list[str]) -> dict[str, str]:
    """Keys and unquoted values of the command line; the last of equal keys counts."""
    parts = (argument.partition("=") for argument in arguments)
    return {key: value.strip("'\"") for key, _, value in parts}
