"""Ids of W&B runs that come from outside: each is for one run folder, the first that takes it.

`WANDB_RUN_ID` is set for one run, by a sweep's agent or a batch job, and may be left in a shell.
"""

import os
from pathlib import Path

from cfa_lab.texts import read_text

VARIABLE = "WANDB_RUN_ID"


def claim_id(run_id: str, folder: Path, register: Path) -> bool:
    """Whether an id is this run folder's to use; it is, from now on, if nobody else's.

    `register` is the folder in which claims are kept, a file for each id. Where that cannot be
    written, nobody is refused.
    """
    mine = str(folder.absolute())
    try:
        register.mkdir(parents=True, exist_ok=True)
        path = register / run_id
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(mine)
        except FileExistsError:
            return read_text(path) in ("", mine)
    except (OSError, ValueError):
        return True
    return True


def outside_id() -> str | None:
    """The id that the environment holds; None where it holds none."""
    return os.environ.get(VARIABLE) or None
