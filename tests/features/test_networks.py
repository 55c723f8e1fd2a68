import pytest
import timm
import torch
from safetensors.torch import save_file

from cfa_lab.errors import UserError
from cfa_lab.features import networks
from cfa_lab.features.networks import make_network, weights_hash


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
    with pytest.raises(UserError, match="do not fit resnet18"):
        make_network("resnet18", weights=str(path))


def test_a_missing_file_names_what_is_allowed():
    with pytest.raises(UserError, match="pretrained, random, or the path"):
        make_network("resnet18", weights="nowhere.pth")


@pytest.mark.parametrize("model", sorted(networks.PACKAGED))
def test_packaged_weights_are_trained_ones_and_need_no_download(model, monkeypatch):
    monkeypatch.setattr(networks, "_hub_file", None)
    pytest.importorskip(networks.PACKAGED[model][0], reason="weights come with the extra `lite`")
    network = make_network(model, weights="pretrained")
    # a trained batch norm has seen data; a new one has mean 0 and variance 1
    assert float(network.state_dict()["bn1.running_mean"].abs().max()) > 0.1
    assert weights_hash(network) != weights_hash(make_network(model, weights="random"))


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


def test_an_unknown_network_gets_close_names():
    with pytest.raises(UserError, match=r"close names: .*resnet18"):
        make_network("resnet1", weights="random")
