"""Numbers pinned to a version that has to be raised when they move.

To the last bit on the machine type that stands beside them, nearly anywhere else.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import torch
from numba.core.registry import cpu_target

from cfa_lab.records.environment import processor

GOLDEN = Path(__file__).parents[1] / "golden"

PACKAGES = ("torch", "numba", "llvmlite", "numpy", "scipy", "scikit-learn", "timm", "pillow")
"""Whose versions may decide a last bit."""

Numbers = dict[str, list[float]]
"""Lists of finite numbers by name."""


class Moved(AssertionError):
    """Pinned numbers, or their version, are not what they were; says what to do."""


@dataclass(frozen=True, kw_only=True)
class Pin:
    """The numbers of one version, in a file."""

    path: Path
    version: int
    version_name: str
    """The constant and where it stands, as in `METHOD_VERSION in cfa_lab/...py`."""
    test: str
    """The test that pins the numbers anew."""
    tolerance: Callable[[str], float]
    """How far numbers of a name may be off on other machine types, as a part of their largest."""

    def check(self, numbers: Numbers) -> None:
        """Compare with what is pinned; raises Moved."""
        pinned = json.loads(self.path.read_text(encoding="utf-8"))
        anew = (
            "tell in CHANGELOG.md what moved, and pin the numbers anew: "
            f".venv/bin/pytest {self.test} --pin"
        )
        if pinned["version"] != self.version:
            raise Moved(
                f"{self.version_name} is {self.version}, but {self.path.name} holds the numbers of "
                f"version {pinned['version']}; {anew}"
            )
        same = pinned["machine"] == machine_type()
        if moved := _moved(numbers, pinned["numbers"], _exactly if same else self.tolerance):
            bits = " (to the last bit on this machine type)" if same else ""
            raise Moved(
                f"not as pinned to version {self.version}{bits}: {'; '.join(moved)}. Find out why; "
                f"if it has to be, raise {self.version_name}, {anew}"
            )

    def write(self, numbers: Numbers) -> None:
        """Pin these numbers to the version as it is, and to this machine type.

        Raises Moved where the version has other numbers and has not been raised.
        """
        if self.path.is_file():
            pinned = json.loads(self.path.read_text(encoding="utf-8"))
            if pinned["version"] == self.version:
                self.check(numbers)
        head = {"version": self.version, "machine": machine_type()}
        lines = [f"    {json.dumps(name)}: {json.dumps(numbers[name])}" for name in numbers]
        text = json.dumps(head, indent=2).removesuffix("\n}") + ',\n  "numbers": {\n'
        self.path.write_text(text + ",\n".join(lines) + "\n  }\n}\n", encoding="utf-8")


def machine_type() -> dict[str, Any]:
    """What decides the last bits of seeded numbers, besides the code."""
    compiler: Any = cpu_target.target_context
    system, target, instructions = compiler.codegen().magic_tuple()
    return {
        "system": system,
        "processor": processor(),
        "compiled_for": target,
        "instructions": hashlib.sha256(instructions.encode()).hexdigest()[:12],
        "torch_for": torch.backends.cpu.get_cpu_capability(),
        "num_threads": torch.get_num_threads(),
        "packages": {name: version_of(name) for name in PACKAGES},
    }


def _exactly(name: str) -> float:
    return 0.0


def _moved(numbers: Numbers, pinned: Numbers, tolerance: Callable[[str], float]) -> list[str]:
    """What is not as pinned, in words."""
    words = [f"{name} is not pinned" for name in numbers if name not in pinned]
    for name, known in pinned.items():
        found = numbers.get(name, [])
        if len(found) != len(known):
            words.append(f"{name} has {len(found)} numbers instead of {len(known)}")
            continue
        largest = max(map(abs, known), default=0.0) or 1.0
        off = max((abs(a - b) for a, b in zip(found, known, strict=True)), default=0.0) / largest
        if not off <= tolerance(name):
            words.append(f"{name} is off by {off:.1e} of the largest")
    return words
