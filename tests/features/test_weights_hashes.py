"""A network's hash is known without the network as long as nothing behind it has changed."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cfa_lab.cli import cache
from cfa_lab.config import Config
from cfa_lab.features import weights_hashes
from cfa_lab.features.weights_hashes import WantedNetwork, recall, remember
from cfa_lab.run.prepare import make_backbone
from cfa_lab.run.weights import known_hash

WANTED = WantedNetwork(
    model="resnet18",
    weights="random",
    tag=None,
    layers=("layer1",),
    activation="relu",
    divide_by_channels=False,
    padding="symmetric",
    norm=False,
    size=(64, 48),
)


def test_the_hash_of_a_network_is_known_once_it_was_made(
    tiny_config: Callable[..., Config], tmp_path: Path
):
    config = tiny_config(f"features.folder={tmp_path}")
    assert known_hash(config) is None
    made = make_backbone(config)[1]
    assert known_hash(config) == made
    assert known_hash(tiny_config(f"features.folder={tmp_path}", "image.width=96")) is None
    assert known_hash(tiny_config(f"features.folder={tmp_path}", "features.cache=false")) is None
    cache.main(["--folder", str(tmp_path), "--clear"])
    assert known_hash(config) is None


def test_a_file_that_was_written_again_is_not_what_is_known(tmp_path: Path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"one")
    wanted = replace(WANTED, weights=str(file))
    remember(tmp_path, wanted, "a1", hub=None)
    assert recall(tmp_path, wanted) == "a1"
    assert recall(tmp_path, replace(wanted, layers=None)) is None
    os.utime(file, ns=(1, 1))
    assert recall(tmp_path, wanted) is None
    remember(tmp_path, wanted, "b2", hub=None)
    assert recall(tmp_path, wanted) == "b2"
    file.unlink()
    assert recall(tmp_path, wanted) is None


def test_weights_from_the_hub_are_known_as_long_as_they_are_the_ones_it_would_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cached: dict[str, str | None] = {}
    for name in ("old", "new"):
        (tmp_path / name).write_bytes(name.encode())
    cached["timm/resnet18"] = str(tmp_path / "old")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, _: cached.get(name))
    wanted = replace(WANTED, weights="pretrained", tag="a1_in1k")
    remember(tmp_path, wanted, "a1", hub="timm/resnet18")
    assert recall(tmp_path, wanted) == "a1"
    cached["timm/resnet18"] = str(tmp_path / "new")
    assert recall(tmp_path, wanted) is None
    cached["timm/resnet18"] = None
    assert recall(tmp_path, wanted) is None


@pytest.mark.parametrize("makers", ["another version", "damaged"])
def test_what_another_version_or_a_damaged_file_says_is_not_believed(
    makers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    remember(tmp_path, WANTED, "a1", hub=None)
    assert recall(tmp_path, WANTED) == "a1"
    if makers == "damaged":
        (file,) = (tmp_path / weights_hashes.SHELF).iterdir()
        file.write_text('{"hash": "a1", "source"')
    else:
        monkeypatch.setattr(weights_hashes, "version", lambda name: "0.0")
    assert recall(tmp_path, WANTED) is None


def test_code_of_another_package_is_never_known(tmp_path: Path):
    wanted = replace(WANTED, model="my_nets:mobilenet")
    remember(tmp_path, wanted, "a1", hub=None)
    assert recall(tmp_path, wanted) is None
    assert not (tmp_path / weights_hashes.SHELF).exists()
