"""What Slurm is asked and told, by its commands; accounting (`sacct`) is used where it is there."""

import re
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from cfa_lab.errors import UserError

SECONDS_TO_ANSWER = 60
OVER = {
    *("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL"),
    *("DEADLINE", "OUT_OF_MEMORY", "REVOKED", "LAUNCH_FAILED"),
}
"""States that a job does not leave; a requeued one is PENDING again."""


@dataclass(frozen=True)
class State:
    """A job as the scheduler sees it."""

    word: str
    """As Slurm has it: `PENDING`, `RUNNING`, `TIMEOUT` ..."""
    reason: str = ""
    """Why it waits."""
    code: int = 0
    """Its exit code, negative for the signal that killed it."""


class NoAnswer(Exception):
    """A command of Slurm's failed or hung, as while its controller is restarted."""


def submit(script: Path) -> str:
    """Hand an array in; returns its id. Raises UserError with what Slurm says against it."""
    try:
        said = _ask("sbatch", "--parsable", str(script))
    except NoAnswer as error:
        raise UserError(f"Slurm takes no jobs: {error}") from error
    return said.strip().splitlines()[-1].partition(";")[0]


def known(names: Collection[str]) -> dict[tuple[str, int], State]:
    """Jobs of arrays of these names, by name and index, as far as Slurm still knows them."""
    found: dict[tuple[str, int], State] = {}
    lines = _ask(
        *("squeue", "--noheader", "--array", "--states=all", "--format=%j|%K|%T|%r"),
        f"--name={','.join(names)}",
    )
    for line in lines.splitlines():
        name, index, word, reason = line.split("|", maxsplit=3)
        if index.isdigit():
            short = re.split(r"[,(:]", reason)[0].strip()
            found[name, int(index)] = State(word, "" if short == "None" else short)
    return found


def number_of(name: str) -> str | None:
    """The id of the array of this name, if it is in the queue."""
    numbers = _ask("squeue", "--noheader", "--format=%F", f"--name={name}").split()
    return numbers[0] if numbers else None


def ended(job: str) -> State | None:
    """How a job ended, that is in no queue any more; None where nobody knows."""
    try:
        told = dict(re.findall(r"(\w+)=(\S+)", _ask("scontrol", "show", "job", job, "--oneliner")))
        return State(told["JobState"], told.get("Reason", ""), _code(told.get("ExitCode", "")))
    except (NoAnswer, KeyError):
        pass
    try:
        told = _ask("sacct", "-nPX", "-j", job, "-o", "State,ExitCode").strip().splitlines()
        word, code = told[0].split("|")
        return State(word.split()[0], "", _code(code))
    except (NoAnswer, IndexError, ValueError):
        return None


def cancel(jobs: Sequence[str]) -> None:
    """End jobs, running or waiting; raises UserError where Slurm will not."""
    try:
        _ask("scancel", *jobs)
    except NoAnswer as error:
        raise UserError(f"Slurm cancels no jobs: {error}") from error


def largest_array() -> int:
    """How many jobs an array may have."""
    match = re.search(r"MaxArraySize\s*=\s*(\d+)", _ask("scontrol", "show", "config"))
    return max(1, int(match[1]) - 1 if match else 1000)  # the largest index is one less


def _code(text: str) -> int:
    """`code:signal` as one number."""
    code, _, signal = text.partition(":")
    return -int(signal) if signal not in ("", "0") else int(code or 0)


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER, errors="replace"
        )
    except FileNotFoundError as error:
        raise NoAnswer(
            f"there is no {command[0]} here; start this on a login node of the cluster, or use "
            "hydra/launcher=parallel"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"{command[0]} gave no answer in {SECONDS_TO_ANSWER} s") from error
    if done.returncode:
        lines = (line.partition("error: ")[2] or line for line in done.stderr.splitlines())
        raise NoAnswer("; ".join(line.strip() for line in lines) or f"{command[0]} failed")
    return done.stdout
