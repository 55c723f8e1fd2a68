import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from cfa_lab.errors import UserError
from cfa_lab.features import networks
from cfa_lab.features.networks import make_network, weights_hash
from cfa_lab.method.backbone import Architecture, Backbone


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = weights_hash(make_network("resnet18", weights="random"))
    assert torch.equal(torch.rand(1), expected)
    assert first == weights_hash(make_network("resnet18", weights="random"))


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_local_file_gives_its_weights(tmp_path, suffix):
    torch.manual_seed(1)
    source = timm.create_model("resnet18")
    path = tmp_path / f"weights.{suffix}"
    save_file(source.state_dict(), path) if suffix == "safetensors" else torch.save(
        source.state_dict(), path
    )
    network = make_network("resnet18", weights=str(path))
    assert weights_hash(network) == weights_hash(source)
    assert weights_hash(network) != weights_hash(make_network("resnet18", weights="random"))


def test_a_file_of_another_network_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="do not fit resnet18") as caught:
        make_network("resnet18", weights=str(path))
    message = str(caught.value)
    assert re.search(r"missing keys: conv1\.weight, .* and \d+ more; unexpected keys: a\)", message)
    assert "\n" not in message
    assert "close names" not in message


def test_weights_of_other_shapes_name_them(tmp_path):
    state = timm.create_model("resnet18").state_dict()
    state["conv1.weight"] = torch.zeros(1, 3, 7, 7)
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    with pytest.raises(UserError, match=r"do not fit resnet18 \(other shapes: conv1\.weight\)"):
        make_network("resnet18", weights=str(path))


def test_a_file_that_holds_no_weights_is_one_line(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_text("no weights\n")
    with pytest.raises(UserError, match="do not fit resnet18") as caught:
        make_network("resnet18", weights=str(path))
    assert "\n" not in str(caught.value)


class Harmful:
    """Unpickled, it writes a file: what weights from a stranger must not be able to do."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return self.path.write_text, ("was here",)


def test_a_file_of_weights_runs_no_code(tmp_path):
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    torch.save(
        {"state_dict": timm.create_model("resnet18").state_dict(), "x": Harmful(trace)}, path
    )
    with pytest.raises(UserError, match="do not fit resnet18"):
        make_network("resnet18", weights=str(path))
    assert not trace.exists()


@pytest.mark.parametrize("weights", ["random", "file"])
def test_every_block_of_a_vision_transformer_can_be_taken(tmp_path, weights):
    model = "test_vit"  # timm's own tiny one, of six blocks, of which timm gives the last three
    if weights == "file":
        weights = str(tmp_path / "weights.safetensors")
        save_file(timm.create_model(model).state_dict(), weights)
    network: Any = make_network(model, weights=weights)
    assert network.feature_info.module_name() == [f"blocks.{i}" for i in range(6)]
    backbone = Backbone(Architecture(model=model, layers=["blocks.0", "blocks.5"]), network)
    assert len(backbone(torch.zeros(1, 3, 48, 80))) == 2


@pytest.mark.parametrize("model", ["test_convnext", "tresnet_m"])
def test_networks_in_stages_keep_timms_list(model):
    expected: Any = timm.create_model(model, features_only=True)
    network: Any = make_network(model, weights="random")
    assert network.feature_info.module_name() == expected.feature_info.module_name()


def test_a_missing_file_names_what_is_allowed():
    with pytest.raises(UserError, match="pretrained, random, or the path"):
        make_network("resnet18", weights="nowhere.pth")


@pytest.mark.parametrize("model", sorted(networks.PACKAGED))
def test_packaged_weights_are_trained_ones_and_need_no_download(model, monkeypatch):
    monkeypatch.setattr(networks, "_hub_file", None)
    pytest.importorskip(
        networks.PACKAGED[model].module, reason="weights come with the extra `lite`"
    )
    network = make_network(model, weights="pretrained")
    # a trained batch norm has seen data; a new one has mean 0 and variance 1
    assert float(network.state_dict()["bn1.running_mean"].abs().max()) > 0.1
    assert weights_hash(network) != weights_hash(make_network(model, weights="random"))


def test_packaged_weights_are_those_of_the_extra_lite():
    """A package that is missing in one of the two places is named here."""
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^lite = \[(.*?)^\]", project, flags=re.MULTILINE | re.DOTALL)
    extra = {re.split(r"[=<>~ ]", name)[0] for name in re.findall(r'"(.+?)"', listed)}
    assert {p.package for p in networks.PACKAGED.values()} == extra


def test_weights_that_cannot_be_downloaded_say_which_whence_and_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)

    def unreachable(_: str) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(networks, "_check_reachable", unreachable)
    with pytest.raises(UserError) as caught:
        make_network("wide_resnet50_2", weights="pretrained", tag="tv_in1k")
    message = str(caught.value)
    for part in ("model.safetensors", "timm/wide_resnet50_2.tv_in1k", "backbone.weights=<file>"):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize("weights", ["random", "file"])
def test_an_unknown_network_gets_close_names(tmp_path, weights):
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"close names: .*resnet18"):
        make_network("resnet1", weights=str(path) if weights == "file" else weights)
