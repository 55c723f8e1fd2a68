"""A real Slurm on this machine for the tests that are marked `cluster`."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.cluster import Slurm

SCRIPT = Path(__file__).parent / "slurm_local.sh"


@pytest.fixture(scope="session")
def slurm_folder() -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("a Slurm of our own needs root (or a container)")
    installed = subprocess.run([SCRIPT, "install"], capture_output=True, text=True)
    if installed.returncode:
        last = installed.stderr.strip().splitlines()[-1:] or ["apt-get failed"]
        pytest.skip(f"Slurm cannot be installed here: {last[0]}")
    with tempfile.TemporaryDirectory(prefix="cfa_lab-slurm-") as folder:
        started = subprocess.run([SCRIPT, "start", folder], stderr=subprocess.PIPE, text=True)
        assert started.returncode == 0, started.stderr
        before = os.environ.get("SLURM_CONF")
        os.environ["SLURM_CONF"] = f"{folder}/slurm.conf"
        yield Path(folder)
        subprocess.run([SCRIPT, "stop", folder], check=True)
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before


@pytest.fixture
def slurm(slurm_folder: Path, tmp_path: Path) -> Iterator[Slurm]:
    """The same, with nodes up and without jobs of the test before."""
    found = Slurm(slurm_folder, SCRIPT, tmp_path)
    found.heal()
    yield found
    found.heal()
