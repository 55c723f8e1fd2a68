"""Finished tiny runs, made once."""

import csv
from pathlib import Path

import pytest
from helpers.tiny import TINY_RUN, compose

from cfa_lab.run.run import run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_root) -> Path:
    """The folder of a run with thresholds; nobody may change it."""
    folder = tmp_path_factory.mktemp("run") / "tiny"
    run(compose(*TINY_RUN, f"dataset.root={tiny_root}", "dataset.validation_fraction=0.4"), folder)
    return folder


@pytest.fixture(scope="session")
def run_without_thresholds(tmp_path_factory, tiny_root) -> Path:
    folder = tmp_path_factory.mktemp("run") / "plain"
    run(compose(*TINY_RUN, f"dataset.root={tiny_root}"), folder)
    return folder


@pytest.fixture(scope="session")
def run_scores(tiny_run) -> dict[str, str]:
    """The run's own scores as its table has them, by path below the root."""
    with (tiny_run / "predictions.csv").open() as file:
        return {row["path"]: row["score"] for row in csv.DictReader(file)}
