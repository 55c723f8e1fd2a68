"""The frozen backbone: images to a list of feature maps, run no deeper than the last one taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cfa_lab.errors import UserError
from cfa_lab.method.padding import fix_padding
from cfa_lab.method.walks import feature_names, walk_feature_list, walk_of
from cfa_lab.vocabulary import ACTIVATIONS, PADDINGS, Activation, Padding, one_of


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
        leaky = architecture.activation == "leaky"
        self._walk, has_activation = walk_of(network, leaky=leaky)
        self.lacks_activation = leaky and not has_activation
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
        if self._walk is not walk_feature_list:
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
        if self._walk is not walk_feature_list:
            return
        info: Any = self.network.feature_info
        told = dict(zip(feature_names(self.network), info.channels(), strict=True))
        expected = [sum(told[name] for name in level) for level in self._levels]
        if found != expected:
            raise UserError(
                f"{self.architecture.model} gives maps of {found} channels where timm tells of "
                f"{expected}; it cannot be read, take another network"
            )
