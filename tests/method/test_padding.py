"""EfficientNet-B5 as the authors' package pads it, beside a network with written-out padding."""

from typing import Any

import pytest
import timm
import torch
from torch import nn

from cfa_lab.method.backbone import Architecture, Backbone

LAYERS = ["blocks.1.4", "blocks.2.4", "blocks.4.6"]

AT_456 = {
    "conv_stem": (0, 1),  # 456 -> 228, kernel 3
    "blocks.1.0.conv_dw": (0, 1),  # 228 -> 114, kernel 3
    "blocks.2.0.conv_dw": (1, 2),  # 114 -> 57, kernel 5
    "blocks.3.0.conv_dw": (1, 1),  # 57 -> 29, kernel 3: an odd side is padded on both ends
}
"""Zeros before and after both sides of each strided convolution that a level depends on."""


def b5() -> Any:
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_b5")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # timm's start leaves out whole branches
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network


def written_out() -> Any:
    """The same network with ordinary convolutions behind ordinary zero padding."""
    network = b5()
    for name, (before, after) in AT_456.items():
        same: Any = network.get_submodule(name)
        plain = nn.Conv2d(
            same.in_channels, same.out_channels, same.kernel_size, same.stride, groups=same.groups
        )
        plain.weight, plain.bias = same.weight, same.bias
        padded = nn.Sequential(nn.ZeroPad2d((before, after, before, after)), plain)
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, padded)
    return network


@pytest.mark.parametrize("size", [224, 256])
def test_static_padding_is_that_of_the_size_of_training(size: int) -> None:
    images = torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8)
    values: dict[str, Any] = {"model": "tf_efficientnet_b5", "layers": LAYERS}
    static = Backbone(Architecture(**values, padding="static"), b5())(images)
    literal = Backbone(Architecture(**values), written_out())(images)
    dynamic = Backbone(Architecture(**values), b5())(images)
    for ours, expected, other in zip(static, literal, dynamic, strict=True):
        assert ours.shape == expected.shape == other.shape
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(static[1], dynamic[1])  # above the convolution that differs
    assert (static[2] - dynamic[2]).abs().mean() > 0.2 * dynamic[2].std()


def test_nothing_changes_at_the_size_of_training_or_without_such_convolutions() -> None:
    images = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    for model, layers in (
        ("tf_efficientnet_lite0", ["blocks.1", "blocks.4"]),  # trained at 224
        ("resnet18", ["layer1", "layer3"]),
    ):
        torch.manual_seed(0)
        network = timm.create_model(model)
        names = list(network.state_dict())
        dynamic = Backbone(Architecture(model=model, layers=layers), network)(images)
        static = Backbone(Architecture(model=model, layers=layers, padding="static"), network)
        for a, b in zip(dynamic, static(images), strict=True):
            assert torch.equal(a, b)
        assert set(static.network.state_dict()) <= set(names)
