from typing import Any

import pytest
import timm
import torch
from torch.nn import functional

from cfa_lab.errors import UserError
from cfa_lab.method.backbone import Architecture, Backbone

RESNET = ["layer1", "layer2", "layer3"]
VGG = ["features.25", "features.38", "features.52"]
B5 = [
    "blocks.1.0+blocks.1.1+blocks.1.2+blocks.1.3+blocks.1.4",
    "blocks.2.2+blocks.2.3+blocks.2.4",
    "blocks.4.6",
]
LITE = ["blocks.1", "blocks.2", "blocks.4"]


def network(model: str) -> torch.nn.Module:
    torch.manual_seed(0)
    made = timm.create_model(model)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # timm's start leaves out whole branches
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return made


def backbone(model: str, layers: list[str], **values) -> Backbone:
    return Backbone(Architecture(model=model, layers=layers, **values), network(model))


@pytest.mark.parametrize(
    "model, layers, channels, strides",
    [
        ("resnet18", RESNET, [64, 128, 256], [4, 8, 16]),
        ("wide_resnet50_2", RESNET, [256, 512, 1024], [4, 8, 16]),
        ("vgg19_bn", VGG, [256, 512, 512], [4, 8, 32]),
        ("tf_efficientnet_b5", B5, [200, 192, 176], [4, 8, 16]),
        ("tf_efficientnet_lite0", LITE, [24, 40, 112], [4, 8, 16]),
        ("tf_efficientnet_lite2", LITE, [24, 48, 120], [4, 8, 16]),
    ],
)
def test_channels_and_strides_of_the_named_backbones(model, layers, channels, strides):
    net = backbone(model, layers)
    levels = net(torch.zeros(1, 3, 64, 96, dtype=torch.uint8))
    assert net.channels == channels
    assert [level.shape for level in levels] == [
        (1, c, 64 // s, 96 // s) for c, s in zip(channels, strides, strict=True)
    ]


def test_relu_maps_are_timms_own_and_leaky_maps_are_their_preactivations():
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    relu = backbone("resnet18", RESNET)(images)
    leaky = backbone("resnet18", RESNET, activation="leaky")(images)

    timms: Any = network("resnet18").eval()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (images / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.no_grad():
        expected = timms.forward_intermediates(x, indices=[1, 2, 3], intermediates_only=True)
    for ours, pre, theirs in zip(relu, leaky, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(functional.relu(pre), theirs, rtol=1e-4, atol=1e-4)
        assert pre.min() < 0


def test_maps_taken_from_vgg_are_not_changed_by_later_layers():
    """Batch norm's output would be, by the in-place ReLU after it."""
    taken = backbone("vgg19_bn", ["features.24", "features.25"])(
        torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    )
    assert taken[0].min() < 0
    assert torch.equal(taken[0].relu(), taken[1])


def test_division_by_channels():
    images = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    plain = backbone("tf_efficientnet_lite0", LITE)(images)
    divided = backbone("tf_efficientnet_lite0", LITE, divide_by_channels=True)(images)
    for a, b, channels in zip(plain, divided, [24, 40, 112], strict=True):
        torch.testing.assert_close(a / channels, b)


def test_nothing_in_it_can_be_trained():
    net = backbone("resnet18", RESNET)
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert not any(module.training for module in net.modules())


def test_unknown_layers_are_named_with_those_there_are():
    with pytest.raises(UserError, match=r"no layer5; it has layer1, layer2, layer3, layer4"):
        backbone("resnet18", ["layer1", "layer5"])


def test_layers_must_run_from_fine_to_coarse():
    with pytest.raises(UserError, match="fine to coarse"):
        backbone("resnet18", ["layer2", "layer1"])
