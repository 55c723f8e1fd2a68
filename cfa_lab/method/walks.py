"""Networks run step by step, every map by name, so that whoever takes maps can stop early."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from cfa_lab.errors import UserError
from cfa_lab.method.families import VGG, EfficientNet, ResNet

LEAKY_SLOPE = 0.01
"""Negative slope of the authors' LeakyReLU on pre-activation ResNet maps."""

Walk = Callable[[Any, Tensor], Iterator[tuple[str, Tensor]]]
"""Runs a network step by step and yields every map by name."""


def walk_of(network: Any, *, leaky: bool) -> tuple[Walk, bool]:
    """The walk of the network's family, from which is removed what the walk will not use.

    `leaky` takes the maps of ResNets before their activation; the second result is whether there
    was one to replace everywhere.
    """
    if isinstance(network, ResNet):
        stages = (network.layer1, network.layer2, network.layer3, network.layer4)
        removed = [_remove_final_activation(stage) for stage in stages]
        _delete(network, "fc")
        return (_walk_leaky_resnet if leaky else _walk_resnet), all(removed)
    if isinstance(network, VGG):
        for module in network.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # a map already taken must not change afterwards
        _delete(network, "pre_logits", "head")
        return _walk_vgg, True
    if isinstance(network, EfficientNet):
        _delete(network, "conv_head", "bn2", "classifier")
        return _walk_efficientnet, True
    if hasattr(getattr(network, "feature_info", None), "module_name"):
        return walk_feature_list, True
    return _walk_named_maps, True


def _delete(network: nn.Module, *names: str) -> None:
    for name in names:
        setattr(network, name, nn.Identity())


def _remove_final_activation(stage: Any) -> bool:
    """Let a ResNet stage end before its last activation, which the walk applies.

    False where its blocks have none by the names of timm's own (res2net, skresnet).
    """
    block: Any = list(stage.children())[-1]
    name = "act3" if hasattr(block, "act3") else "act2"
    if not hasattr(block, name):
        return False
    setattr(block, name, nn.Identity())
    return True


def _walk_resnet(network: Any, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    for name, pre_activation in _resnet_stages(network, x):
        yield name, functional.relu(pre_activation)


def _walk_leaky_resnet(network: Any, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    for name, pre_activation in _resnet_stages(network, x):
        yield name, functional.leaky_relu(pre_activation, LEAKY_SLOPE)


def _resnet_stages(network: Any, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    x = network.maxpool(network.act1(network.bn1(network.conv1(x))))
    for name in ("layer1", "layer2", "layer3", "layer4"):
        x = getattr(network, name)(x)
        yield name, x
        x = functional.relu(x)


def _walk_vgg(network: Any, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    for i, module in enumerate(network.features):
        x = module(x)
        yield f"features.{i}", x


def _walk_efficientnet(network: Any, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    x = network.bn1(network.conv_stem(x))
    for s, stage in enumerate(network.blocks):
        for i, block in enumerate(stage):
            x = block(x)
            yield f"blocks.{s}.{i}", x
        yield f"blocks.{s}", x


def walk_feature_list(network: Any, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    has_channels_last = str(getattr(getattr(network, "output_fmt", None), "value", "")) == "NHWC"
    for name, level in zip(feature_names(network), network(x), strict=True):
        yield name, level.permute(0, 3, 1, 2) if has_channels_last else level


def feature_names(network: Any) -> list[str]:
    """The names of a feature list's maps, as timm's attributes are called."""
    return [name.replace("_", ".") for name in network.feature_info.module_name()]


def _walk_named_maps(network: Any, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    maps = network(x)
    if not isinstance(maps, Mapping) or not maps:
        raise UserError(
            f"the backbone {type(network).__name__} gives {_shown(maps)}; it must give maps by "
            "name, a dict of tensors (images, channels, height, width), finest first"
        )
    for name, value in maps.items():
        if not isinstance(value, Tensor) or value.ndim != 4 or len(value) != len(x):
            raise UserError(
                f"the backbone {type(network).__name__} gives {_shown(value)} for its map "
                f"{name!r} of {len(x)} images; it must give a tensor (images, channels, height, "
                "width)"
            )
        yield str(name), value


def _shown(value: Any) -> str:
    """What was given instead, in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    return "nothing" if value is None or value == {} else f"a {type(value).__name__}"
