"""The viewer of a tiny run."""

from pathlib import Path

import pytest

from cfa_lab.deploy.load import model_folder
from cfa_lab.deploy.runtime_torch import TorchRuntime, load_run
from cfa_lab.deploy.view.viewer import Viewer


@pytest.fixture(scope="session")
def runtime(tiny_run: Path) -> TorchRuntime:
    return load_run(model_folder(tiny_run))


@pytest.fixture(scope="session")
def viewer(runtime: TorchRuntime, tiny_run: Path) -> Viewer:
    return Viewer(runtime, tiny_run)
