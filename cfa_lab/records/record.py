"""`metrics.json`, the truth of a run: what it found, how, where, and whether it is complete."""

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cfa_lab.errors import UserError
from cfa_lab.files import write_atomically

SCHEMA = 1
METHOD_VERSION = 3
"""Raised whenever a number could change for the same configuration; part of every run key."""

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "pillow",
    "scikit-learn",
    "hydra-core",
)


def write_record(
    folder: Path,
    *,
    status: str,
    run_key: str,
    config: Mapping[str, Any],
    metrics: Mapping[str, float | None] | None = None,
    intervals: Mapping[str, Any] | None = None,
    oracle: Mapping[str, float | None] | None = None,
    undefined: Mapping[str, str] | None = None,
    protocol: Mapping[str, Any] | None = None,
    timing: Mapping[str, float] | None = None,
    environment: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> None:
    """Write `metrics.json` in one piece; `status` is `complete` or `failed`."""
    record = {
        "schema": SCHEMA,
        "status": status,
        "run_key": run_key,
        "config": config,
        "metrics": metrics or {},
        "intervals": intervals or {},
        "oracle": oracle or {},
        "undefined": undefined or {},
        "protocol": protocol or {},
        "timing": timing or {},
        "environment": environment or {},
        "error": error,
    }
    write_atomically(folder / "metrics.json", json.dumps(record, indent=2, allow_nan=False) + "\n")


def read_record(folder: Path) -> dict[str, Any] | None:
    """A run folder's record, None where there is none; raises UserError where it is damaged."""
    path = folder / "metrics.json"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged ({error}); delete it or run again") from error


def hash_key(parts: Mapping[str, Any]) -> str:
    """A short hash of whatever decides numbers, and of the method's version."""
    text = json.dumps({"method": METHOD_VERSION, **parts}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def environment(device: str, num_threads: int) -> dict[str, Any]:
    """Where a run happened: versions, machine, code."""
    return {
        "cfa_lab": version("cfa-lab"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "device": device,
        "num_threads": num_threads,
        "git_commit": _git_commit(),
        "command": sys.argv,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's name; on Linux the kernel knows more than `platform` does."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _git_commit() -> str | None:
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
