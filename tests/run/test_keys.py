"""What decides a fit, what only decides a run's numbers, and what decides nothing."""

import shutil
from pathlib import Path

import pytest
from helpers.tiny import write_tiny

from cfa_lab.config import Config
from cfa_lab.run import keys
from cfa_lab.run.tables import depth_of, geometry_of, read_table


def keys_of(config: Config, *, weights: str = "w", num_threads: int = 1) -> tuple[str, str]:
    table = read_table(config)
    fit_key = keys.fit_key_of(
        config, table, geometry_of(config, depth_of(config, table)), weights, num_threads
    )
    return fit_key, keys.run_key_of(config, table, fit_key)


@pytest.mark.parametrize(
    "override",
    [
        *("seed=1", "loss.K=2", "trainer.epochs=7", "image.height=40", "features.dtype=float32"),
        "memory_bank.starts=10",
    ],
)
def test_what_training_depends_on_changes_both_keys(tiny_config, override: str):
    (fit, run), (other_fit, other_run) = keys_of(tiny_config()), keys_of(tiny_config(override))
    assert fit != other_fit
    assert run != other_run


@pytest.mark.parametrize("override", ["scoring.sigma=2", "evaluation.resamples=3"])
def test_what_only_scores_depend_on_changes_the_run_key(tiny_config, override: str):
    (fit, run), (other_fit, other_run) = keys_of(tiny_config()), keys_of(tiny_config(override))
    assert fit == other_fit
    assert run != other_run


@pytest.mark.parametrize(
    "override",
    [
        *("device=cuda", "resume=never", "tracker.group=g", "features.workers=3"),
        *("evaluation.maps=true", "evaluation.cases=1", "evaluation.diagnostics=0"),
    ],
)
def test_what_decides_no_number_changes_no_key(tiny_config, override: str):
    assert keys_of(tiny_config()) == keys_of(tiny_config(override))


def test_threads_weights_and_the_methods_version_count(tiny_config, monkeypatch):
    config = tiny_config()
    found = [keys_of(config), keys_of(config, weights="x"), keys_of(config, num_threads=2)]
    monkeypatch.setattr(keys, "METHOD_VERSION", keys.METHOD_VERSION + 1)
    found.append(keys_of(config))
    assert len({fit for fit, _ in found}) == len({run for _, run in found}) == 4


def test_a_test_image_is_no_part_of_the_fit_and_a_folders_place_of_neither(
    tiny_config, tmp_path: Path
):
    write_tiny(tmp_path / "here" / "square")
    before = keys_of(tiny_config(f"dataset.root={tmp_path / 'here'}"))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    there = tiny_config(f"dataset.root={tmp_path / 'there'}")
    assert keys_of(there) == before
    image = next((tmp_path / "there" / "square" / "test" / "good").iterdir())
    image.write_bytes(image.read_bytes() + b"\0")
    assert keys_of(there)[0] == before[0]
    assert keys_of(there)[1] != before[1]
    shutil.copy(image, next((tmp_path / "there" / "square" / "train" / "good").iterdir()))
    assert keys_of(there)[0] != before[0]
