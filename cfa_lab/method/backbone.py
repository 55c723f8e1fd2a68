"""The frozen backbone: images to a list of feature maps, run no deeper than the last one taken."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cfa_lab.errors import UserError
from cfa_lab.method.families import VGG, EfficientNet, ResNet
from cfa_lab.method.padding import fix_padding
from cfa_lab.vocabulary import ACTIVATIONS, PADDINGS, Activation, Padding, one_of

LEAKY_SLOPE = 0.01
"""Negative slope of the authors' LeakyReLU on pre-activation ResNet maps."""

Walk = Callable[[Any, Tensor], Iterator[tuple[str, Tensor]]]
"""Runs a network step by step and yields every map by name, so that the caller can stop early."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Which network, what is taken from it, and how.

    `model`: timm's name, or the path `package.module:function` of code that makes another.
    `layers`: one level each, finest first; `a+b` concatenates the maps a and b (same size).
    `activation`: `relu` takes ResNet blocks as they are, `leaky` takes their pre-activation through
    LeakyReLU(0.01) (authors' code); other families have no such choice and ignore it.
    `padding`: of "same" convolutions, see `padding.py`; `norm`: whether the network was made to
    give a vision transformer's maps after its final norm (here only recorded).
    `divide_by_channels`: divide each level by its number of channels (authors' EfficientNet-B5).
    """

    model: str
    layers: Sequence[str]
    activation: Activation = "relu"
    divide_by_channels: bool = False
    padding: Padding = "dynamic"
    norm: bool = False
    mean: Sequence[float] = (0.485, 0.456, 0.406)
    std: Sequence[float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        one_of("backbone.activation", self.activation, ACTIVATIONS)
        one_of("backbone.padding", self.padding, PADDINGS)


class Backbone(nn.Module):
    """A frozen network in evaluation mode: images (b, 3, H, W) uint8 -> maps (b, c_l, h_l, w_l)."""

    mean: Tensor
    std: Tensor
    lacks_activation = False
    """Whether `leaky` was asked for and the network has no activation to replace (res2net)."""

    def __init__(
        self,
        architecture: Architecture,
        network: nn.Module,
        *,
        size: tuple[int, int] | None = None,
    ):
        """Wrap a timm ResNet, VGG or EfficientNet, or any timm network made with features_only.

        Or any other module whose forward turns a normalised batch (b, 3, H, W) float32 into maps
        (b, c_l, h_l, w_l) by name, a dict, finest first. It is tried out on an image of `size` (h,
        w). Raises UserError for other outputs, and for layers that are not there or do not run from
        fine to coarse.
        """
        super().__init__()
        self.architecture = architecture
        self.network = network
        self.register_buffer("mean", torch.tensor(architecture.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(architecture.std).view(3, 1, 1))
        self._levels = [layer.split("+") for layer in architecture.layers]
        if architecture.padding == "static":
            fix_padding(network)
        self._walk = self._prepare()
        self.eval().requires_grad_(False)
        self.channels = [level.shape[1] for level in self._probe(size)]

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """Feature maps of images (b, 3, H, W), uint8 or float in 0..255, as float32."""
        x = (images.float() / 255 - self.mean) / self.std
        taken: dict[str, Tensor] = {}
        wanted = {name for level in self._levels for name in level}
        names = []
        for name, value in self._walk(
            self.network, x.contiguous(memory_format=torch.channels_last)
        ):
            names.append(name)
            if name in wanted:
                taken[name] = value
            if len(taken) == len(wanted):
                break
        if missing := wanted - taken.keys():
            raise UserError(
                f"backbone.layers: {self.architecture.model} has no {', '.join(sorted(missing))}; "
                f"it has {', '.join(names)}"
            )
        levels = [torch.cat([taken[name] for name in level], dim=1) for level in self._levels]
        if self.architecture.divide_by_channels:
            levels = [level / level.shape[1] for level in levels]
        return [level.float() for level in levels]

    def _probe(self, size: tuple[int, int] | None) -> list[Tensor]:
        """The levels of an empty image, checked."""
        height, width = self._probed_size(size)
        try:
            levels = self(torch.zeros(1, 3, height, width))
        except UserError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise UserError(
                f"{self.architecture.model} fails on an image of {height} x {width} pixels "
                f"({reason}); take a size that it knows, such as {self._known_size()}, and layers "
                "of one size where + joins them"
            ) from error
        sizes = [level.shape[-1] for level in levels]
        if sizes != sorted(sizes, reverse=True):
            raise UserError(
                f"backbone.layers must run from fine to coarse; {list(self.architecture.layers)} "
                f"of {self.architecture.model} have widths {sizes} for a {width}-pixel image"
            )
        self._check_channels([level.shape[1] for level in levels])
        return levels

    def _probed_size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        """Small where every size will do, else the one asked for or the network's own."""
        if self._walk is not _walk_feature_list:
            return 64, 64
        if size is not None:
            return size
        settings = self._settings()
        return settings["input_size"][-2:] if settings.get("fixed_input_size") else (64, 64)

    def _settings(self) -> Any:
        return getattr(self.network, "pretrained_cfg", None) or {}

    def _known_size(self) -> str:
        height, width = self._settings().get("input_size", (3, 256, 256))[-2:]
        return f"image.height={height} image.width={width}"

    def _check_channels(self, found: list[int]) -> None:
        """Refuse maps whose channels are not where timm says that they are."""
        if self._walk is not _walk_feature_list:
            return
        info: Any = self.network.feature_info
        told = dict(zip(_feature_names(self.network), info.channels(), strict=True))
        expected = [sum(told[name] for name in level) for level in self._levels]
        if found != expected:
            raise UserError(
                f"{self.architecture.model} gives maps of {found} channels where timm tells of "
                f"{expected}; it cannot be read, take another network"
            )

    def _prepare(self) -> Walk:
        """Choose the walk of the network's family and remove what it will not use."""
        network = self.network
        if isinstance(network, ResNet):
            stages = (network.layer1, network.layer2, network.layer3, network.layer4)
            removed = [_remove_final_activation(stage) for stage in stages]
            _delete(network, "fc")
            leaky = self.architecture.activation == "leaky"
            self.lacks_activation = leaky and not all(removed)
            return _walk_leaky_resnet if leaky else _walk_resnet
        if isinstance(network, VGG):
            for module in network.modules():
                if isinstance(module, nn.ReLU):
                    module.inplace = False  # a map already taken must not change afterwards
            _delete(network, "pre_logits", "head")
            return _walk_vgg
        if isinstance(network, EfficientNet):
            _delete(network, "conv_head", "bn2", "classifier")
            return _walk_efficientnet
        if hasattr(getattr(network, "feature_info", None), "module_name"):
            return _walk_feature_list
        return _walk_named_maps


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


def _walk_feature_list(network: Any, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    has_channels_last = str(getattr(getattr(network, "output_fmt", None), "value", "")) == "NHWC"
    for name, level in zip(_feature_names(network), network(x), strict=True):
        yield name, level.permute(0, 3, 1, 2) if has_channels_last else level


def _feature_names(network: Any) -> list[str]:
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
