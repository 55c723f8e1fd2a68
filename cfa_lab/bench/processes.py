"""Contestants in processes of their own, so that each one's time and memory are its own."""

import importlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfa_lab.errors import UserError


@dataclass(frozen=True)
class Finished:
    """A command that ran to its end."""

    seconds: float
    """From its start to its exit, imports included."""
    peak_bytes: int
    """The largest resident size it reached."""
    output: str


def run_command(arguments: Sequence[str | Path], *, environment: dict[str, str]) -> Finished:
    """Run a command to its end; raises UserError with its last line where it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(argument) for argument in arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
    )
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = output.strip().splitlines()[-1:] or ["it printed nothing"]
        raise UserError(f"{arguments[0]} ... ended with code {process.returncode}: {last[0]}")
    return Finished(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), output)


def in_own_process(function: Callable[..., Any], *arguments: Any) -> tuple[Any, int]:
    """A function's result in a fresh process, and how far its memory grew beyond the imports.

    Function, arguments and result have to be picklable.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (function, arguments))


def _measured(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, int]:
    # torch imports this with the first optimizer: a library, whoever trains
    importlib.import_module("torch._dynamo")
    before = peak_bytes()
    result = function(*arguments)
    return result, peak_bytes() - before


def peak_bytes() -> int:
    """The largest resident size of this process so far.

    Linux hands the parent's peak on to a child in ru_maxrss, so there the process's own status is
    read.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
