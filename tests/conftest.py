"""What all tests share: no network, no account, no state of the user's, one thread each."""

import os
import shutil
import tempfile

os.environ["CFA_LAB_CACHE"] = tempfile.mkdtemp(prefix="cfa_lab-tests-")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from helpers.tiny import TINY_RUN, compose, write_tiny

from cfa_lab.config import Config

torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # has to stand before anything imports Triton


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pin", action="store_true", help="pin numbers to their version anew")


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["CFA_LAB_CACHE"], ignore_errors=True)


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Each device that there is."""
    return request.param


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data set in MVTec's layout: noisy grey squares, some with a bright spot; not to change."""
    root = tmp_path_factory.mktemp("data")
    write_tiny(root / "square")
    before = {path: path.is_file() and path.read_bytes() for path in root.rglob("*")}
    yield root
    after = {path: path.is_file() and path.read_bytes() for path in root.rglob("*")}
    assert before == after, "a test has changed what all share; write_tiny makes its own"


@pytest.fixture
def tiny_config(tiny_root: Path) -> Callable[..., Config]:
    """A function from further overrides to the configuration of a tiny run."""
    return lambda *more: compose(*TINY_RUN, f"dataset.root={tiny_root}", *more)
