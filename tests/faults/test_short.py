"""The short form of `make test-faults`: kills and a stop; what is started again ends the same.

The slow one has a fault of each other kind as well: `other_faults.KINDS`.
"""

import subprocess
import sys
from pathlib import Path

import pytest

NUM_KINDS = 8
"""Entries of `other_faults.KINDS`, which only the script itself can import."""


@pytest.mark.parametrize(
    "counts",
    [
        ["--kills", "1", "--signals", "1", "--multirun", "0", "--others", "0"],
        pytest.param(
            ["--kills", "20", "--signals", "6", "--multirun", "6", "--others", "1"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_killed_and_started_again_has_the_bytes_of_an_undisturbed_run(counts: list[str]):
    script = Path(__file__).with_name("inject.py")
    done = subprocess.run([sys.executable, str(script), *counts], capture_output=True, text=True)
    *numbers, others = map(int, counts[1::2])
    injected = sum(numbers) + others * NUM_KINDS - done.stderr.count("skipped: ")
    assert done.stdout.splitlines()[-1:] == [f"{injected} faults injected, 0 lost, 0 different"], (
        done.stderr
    )
    assert done.returncode == 0
