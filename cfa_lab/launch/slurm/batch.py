"""The folder of an array: its script, its calls, what its jobs leave; and finding it again.

`<root>/.slurm/<name>/` holds for the job of each index `<index>.call`, once it has begun
`<index>.begun`, once it has ended `<index>.end`, and what it said, `<index>.log`. The array is
called as its folder is, so jobs are found again even if the command was killed while it handed them
in.
"""

import json
import shlex
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cfa_lab.errors import UserError
from cfa_lab.files import write_atomically
from cfa_lab.launch.slurm import scheduler
from cfa_lab.launch.slurm.options import Options
from cfa_lab.launch.task import End, Task, unpacked
from cfa_lab.texts import read_json

FOLDER = ".slurm"
TASKS, ID = "tasks.json", "id"
CALL, BEGUN, END, LOG = "call", "begun", "end", "log"
SECONDS_KEPT = 24 * 3600.0
"""After which what an array without jobs left is removed, except what was said."""

PROGRAM = """import sys

sys.path[:] = {path!r}

from cfa_lab.launch.slurm.job import main

main({folder!r})
"""


class Array:
    """An array of jobs that was handed in, perhaps by another command."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.name = folder.name

    def id(self) -> str | None:
        """Slurm's number of it; None where the command was killed before it could note it."""
        with suppress(OSError):
            return (self.folder / ID).read_text(encoding="utf-8").strip()
        return None

    def note(self, number: str) -> None:
        """Keep Slurm's number of it."""
        write_atomically(self.folder / ID, number)

    def tasks(self) -> list[str]:
        """The identities of its jobs, by index."""
        with suppress(OSError, ValueError):
            return read_json(self.folder / TASKS)
        return []

    def file(self, index: int, kind: str) -> Path:
        """Where a job has its file of a kind."""
        return self.folder / f"{index}.{kind}"

    def end(self, index: int) -> End | None:
        """What came of a job; None as long as it left nothing."""
        try:
            return unpacked(self.file(index, END).read_bytes())
        except OSError:
            return None


@dataclass
class Submitted:
    """A job of an array, and what became of it before."""

    array: Array
    index: int
    position: object = None
    """Where its run stood when it was handed in."""
    missed: int = 0
    """Answers of Slurm in which it was over, without having left an end."""

    @property
    def key(self) -> tuple[str, int]:
        return self.array.name, self.index

    @property
    def id(self) -> str | None:
        number = self.array.id()
        return None if number is None else f"{number}_{self.index}"


def hand_in(root: Path, tasks: Sequence[Task], options: Options) -> Array:
    """Submit an array of these jobs; raises UserError where Slurm will not have it."""
    stamp = time.strftime("%m%d-%H%M%S")
    array = Array(root / FOLDER / f"cfa_lab-{stamp}-{uuid.uuid4().hex[:6]}")
    array.folder.mkdir(parents=True)
    for index, task in enumerate(tasks):
        array.file(index, CALL).write_bytes(task.call)
    write_atomically(array.folder / TASKS, json.dumps([task.identity for task in tasks]))
    path = [str(Path(entry or ".").absolute()) for entry in sys.path]
    program = PROGRAM.format(path=path, folder=str(array.folder))
    (array.folder / "job.py").write_text(program, encoding="utf-8")
    script = array.folder / "script.sh"
    lines = options.lines(
        name=array.name, size=len(tasks), output=f"{str(array.folder).replace('%', '%%')}/%a.{LOG}"
    )
    run = shlex.join([sys.executable, "-u", str(array.folder / "job.py")])
    here = f"cd {shlex.quote(str(Path.cwd()))}"
    text = "\n".join(["#!/bin/bash", *lines, here, *options.setup, f"exec {run}", ""])
    script.write_text(text, encoding="utf-8")
    try:
        array.note(scheduler.submit(script))
    except UserError:
        _remove(array)
        raise
    return array


def arrays(root: Path) -> Iterator[Array]:
    """Every array that was handed in below `root`."""
    for folder in sorted((root / FOLDER).glob("cfa_lab-*")):
        if (folder / TASKS).is_file():
            yield Array(folder)


def tidy(array: Array) -> None:
    """Remove what an array left of which no job is in the queue, once it is old."""
    with suppress(OSError):
        if time.time() - array.folder.stat().st_mtime > SECONDS_KEPT:
            _remove(array)


def _remove(array: Array) -> None:
    for path in array.folder.iterdir():
        if path.suffix != f".{LOG}":
            path.unlink(missing_ok=True)
    with suppress(OSError):  # what was said stays
        array.folder.rmdir()
