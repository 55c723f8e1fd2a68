"""The program: sub-commands, Hydra, and the way out for every error."""

import errno
import gc
import importlib
import io
import os
import sys
from importlib.metadata import version

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from cfa_lab.cli import interrupts, task
from cfa_lab.cli.arguments import (
    MULTIRUN_FLAGS,
    as_cancelling,
    as_listing,
    expanded,
    overrides_first,
    refuse_emptied_groups,
    refuse_used_folder,
    release_outside_id,
    resumed,
    without_plus,
)
from cfa_lab.cli.config_files import refuse_endless_files
from cfa_lab.cli.literal import as_typed, from_python
from cfa_lab.cli.messages import another_place, describe, leave, report
from cfa_lab.cli.schema import TRUSTED, VERSION_BASE, to_config
from cfa_lab.cli.words import refuse_unknown_flags, unknown_word
from cfa_lab.config import Config, conf_dir
from cfa_lab.errors import UserError
from cfa_lab.records.environment import git_commit

SUBCOMMANDS = {
    "bench": "cfa_lab.bench",
    "cache": "cfa_lab.cli.cache",
    "completion": "cfa_lab.cli.completion",
    "dashboard": "cfa_lab.tracking.dashboard",
    "export": "cfa_lab.deploy.export",
    "predict": "cfa_lab.deploy.predict",
    "report": "cfa_lab.report.command",
    "submission": "cfa_lab.deploy.submission",
    "sync": "cfa_lab.tracking.sync",
    "threshold": "cfa_lab.deploy.threshold",
    "view": "cfa_lab.deploy.view.command",
}
"""Word -> module whose `main(arguments)` serves it."""

CONFIGURED = {"doctor": "cfa_lab.doctor", "explain": "cfa_lab.cli.explain"}
"""Likewise for `main(arguments, compose)`: sub-commands that take a run's settings."""

PLAN = "plan"
"""The word before the arguments of a multirun that lists its jobs instead of running them."""
PLAN_HELP = """usage: python -m cfa_lab plan [key=value,value ...] [group=option,option ...]

List the jobs of a multirun and run none: number, state (done, unfinished, failed, new) and what
varies.
The arguments are those of a multirun, without -m.

Example: python -m cfa_lab plan category=all seed=0,1,2"""


def main() -> None:
    """Run the command line; a user's error is one line and exit code 1."""
    interrupts.listen()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal or pipe of ASCII shows what it can
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _dispatch(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has gone (`| head`): nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except UserError as error:
        leave(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        leave(describe(error))
    except OSError as error:
        place = another_place(sys.argv[1:])
        if error.errno == errno.ENAMETOOLONG and MULTIRUN_FLAGS & set(sys.argv):
            place = "; name the runs shorter: 'hydra.sweep.subdir=${hydra.job.num}'"
        leave(f"{error.filename or 'the disk'}: {error.strerror}{place}")
    except KeyboardInterrupt:
        many = MULTIRUN_FLAGS & set(sys.argv)
        again = "; the same command goes on where it was" if many else ""
        leave(f"interrupted{again}", code=130)
    finally:
        gc.freeze()  # or the interpreter looks through all modules once more as it ends
    if task.failure is not None:
        report(*task.failure)


def versions() -> str:
    """Ours, with the commit of a checkout, and those of what numbers depend on most."""
    commit = git_commit()
    own = f"cfa_lab {version('cfa-lab')}{f' (commit {commit})' if commit else ''}"
    return f"{own}, torch {version('torch')}, Hydra {hydra.__version__}"


def _dispatch(arguments: list[str]) -> None:
    first = arguments[0] if arguments else ""
    if first in ("-h", "--help") and {*arguments[1:2]} & {PLAN, *SUBCOMMANDS, *CONFIGURED}:
        arguments, first = [arguments[1], first], arguments[1]
    if first == "--version":
        print(versions())
        return
    if first == PLAN:
        if {"-h", "--help"} & {*arguments}:
            print(PLAN_HELP)
            return
        arguments, first = as_listing(arguments[1:]), ""
    if first in SUBCOMMANDS:
        importlib.import_module(SUBCOMMANDS[first]).main(arguments[1:])
        return
    if first in CONFIGURED:
        importlib.import_module(CONFIGURED[first]).main(arguments[1:], compose)
        return
    if first and not first.startswith("-") and "=" not in first and "~" not in first:
        raise UserError(unknown_word(first, (PLAN, *SUBCOMMANDS, *CONFIGURED)))
    refuse_unknown_flags(arguments)
    arguments = as_cancelling([expanded(argument) for argument in arguments])
    commas = "several" if MULTIRUN_FLAGS & {*arguments} else "ambiguous"
    arguments = overrides_first(as_typed(from_python(without_plus(arguments)), commas=commas))
    refuse_emptied_groups(arguments)
    sys.argv[1:] = resumed(arguments)
    refuse_used_folder(sys.argv[1:])
    refuse_endless_files(sys.argv[1:])
    if (told := release_outside_id(sys.argv[1:])) is not None:
        print(f"cfa_lab: {told}", file=sys.stderr)
    # with this set Hydra hands exceptions on instead of printing its own account and exiting
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    ConfigStore.instance().store(name="schema", node=Config)
    start = hydra.main(config_path=str(conf_dir()), config_name="config", **VERSION_BASE, **TRUSTED)
    start(task.job)()


def compose(overrides: list[str]) -> Config:
    """The checked configuration of a run with these settings, which is not started."""
    overrides = as_typed(without_plus([*map(expanded, overrides)]), commas="alone")
    refuse_emptied_groups(overrides)
    ConfigStore.instance().store(name="schema", node=Config)
    with hydra.initialize_config_dir(**VERSION_BASE, config_dir=str(conf_dir())):
        return to_config(hydra.compose("config", overrides=overrides))
