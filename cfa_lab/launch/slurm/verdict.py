"""What to make of a job that is over and left no end, and of one that waits."""

from dataclasses import dataclass
from pathlib import Path

from cfa_lab.launch.slurm.options import Options
from cfa_lab.launch.slurm.scheduler import State
from cfa_lab.records import names

STUCK = ("Partition", "BadConstraints", "JobHeld", "Invalid", "DependencyNever", "launch failed")
"""Beginnings of reasons that waiting does not change; limits of one job are the other kind."""
OF_NODES = {"NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "LAUNCH_FAILED", "REVOKED"}


@dataclass(frozen=True)
class Verdict:
    """What became of a job."""

    kind: str
    """Ends of one kind are counted together."""
    text: str
    tries: int
    """How often a job that ended so is handed in again."""


def judge(state: State | None, *, began: bool, moved: bool, options: Options) -> Verdict:
    """Say what happened, and how often the job may be tried again.

    `state` is Slurm's last word, None where it knows nothing any more; `began` whether the job's
    process started, `moved` whether its run got on since it was handed in.
    """
    limit = f"its limit of {options.timeout_min} min (hydra.launcher.timeout_min)"
    word = "gone" if state is None else state.word
    if word == "TIMEOUT" and moved:
        return Verdict("limit", f"reached {limit}", options.max_num_timeout)
    if word == "TIMEOUT":
        return Verdict("start", f"reached {limit} before its run got on; raise it", 0)
    if word == "CANCELLED" or (word == "gone" and not began):
        how = "before it began" if not began else "while it ran"
        return Verdict("cancelled", f"was cancelled {how}", 0)
    if word == "OUT_OF_MEMORY":
        return Verdict("memory", "wanted more memory than it has; raise hydra.launcher.mem_gb", 0)
    if word in OF_NODES:
        return Verdict("node", f"lost its node ({word})", options.retries)
    if state is not None and state.reason.startswith(STUCK):
        return Verdict("refused", f"was refused by Slurm: {state.reason}", 0)
    if state is not None and state.code < 0:
        return Verdict("killed", f"was killed by signal {-state.code}", options.retries)
    if state is not None and state.code > 128:  # as shells say it
        return Verdict("killed", f"was killed by signal {state.code - 128}", options.retries)
    if word in ("gone", "COMPLETED"):
        return Verdict("gone", "ended without leaving an outcome", options.retries)
    code = f" with exit code {state.code}" if state is not None and state.code else ""
    return Verdict("failed", f"ended as {word}{code}", 0)


def never_starts(reason: str) -> bool:
    """Whether a job that waits for this reason waits for somebody to change something."""
    return reason.startswith(STUCK) or reason.endswith(("PerJob", "PerJobLimit"))


def position(folder: Path) -> object:
    """Where a run stands, as far as its state tells: another value once it got on."""
    beside = folder.parent.glob(f"{folder.name}-*/{names.STATE}")
    found: list[tuple[int, int]] = []
    for path in (folder / names.STATE, *beside):
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((status.st_mtime_ns, status.st_size))
    return max(found, default=None)
