"""Where a run happened: versions, machine, code."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "torchmetrics",
    "numba",
    "numpy",
    "scipy",
    "pandas",
    "pillow",
    "scikit-learn",
    "hydra-core",
    "omegaconf",
    "wandb",
)


def environment(device: str, num_threads: int) -> dict[str, Any]:
    """The `environment` of a run's record, as JSON values."""
    return {
        "cfa_lab": version("cfa-lab"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": processor(),
        "device": device,
        "num_threads": num_threads,
        "git_commit": git_commit(),
        "command": sys.argv,
    }


def processor() -> str:
    """The processor's name; on Linux the kernel knows more than `platform` does."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def count_cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """The commit of this package's checkout, with `+` where files differ; None outside one."""
    package = Path(__file__).resolve().parents[1]
    if not (package.parent / ".git").exists():
        return None
    command = ["git", "-C", str(package.parent), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
