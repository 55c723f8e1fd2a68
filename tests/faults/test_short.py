"""The short form of `make test-faults`: kills and a stop; what is started again ends the same."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "counts",
    [
        ["--kills", "2", "--signals", "1", "--multirun", "0"],
        pytest.param(
            ["--kills", "20", "--signals", "6", "--multirun", "6"], marks=pytest.mark.slow
        ),
    ],
)
def test_what_is_killed_and_started_again_has_the_bytes_of_an_undisturbed_run(counts: list[str]):
    script = Path(__file__).with_name("inject.py")
    done = subprocess.run([sys.executable, str(script), *counts], capture_output=True, text=True)
    injected = sum(map(int, counts[1::2]))
    assert done.stdout.splitlines()[-1:] == [f"{injected} faults injected, 0 lost, 0 different"], (
        done.stderr
    )
    assert done.returncode == 0
