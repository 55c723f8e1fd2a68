"""Padding of "same" convolutions: by the image at hand, or as for the size of training.

A "same" convolution with stride 2 and an odd kernel pads odd sides on both ends alike and even ones
more at the end, so what it sees of a map depends on the image's size. The authors' EfficientNet-B5
is of a package that fixes the padding for the size of training, 456 pixels, whatever image comes.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from cfa_lab.method.families import Conv2dSame


class FixedSame(nn.Conv2d):
    """A convolution that pads by fixed amounts, `sides` (left, right, top, bottom)."""

    sides: tuple[int, int, int, int]

    def forward(self, input: Tensor) -> Tensor:
        """Maps (b, c, h, w), padded and convolved."""
        padded = functional.pad(input, self.sides)
        return functional.conv2d(
            padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )


def fix_padding(network: Any) -> None:
    """Let every "same" convolution with a stride pad as for images of the size of training.

    Changes the network in place and leaves the names of its weights. Networks that have none of
    them are left alone.
    """
    modules: list[Any] = [m for m in network.modules() if isinstance(m, Conv2dSame)]
    convolutions = [module for module in modules if max(module.stride) > 1]
    if not convolutions:
        return
    height, width = network.pretrained_cfg["input_size"][-2:]
    for convolution in convolutions:  # in the order in which a map goes through them
        (top, bottom, height), (left, right, width) = (
            _ends(size, convolution.kernel_size[i], convolution.stride[i])
            for i, size in enumerate((height, width))
        )
        convolution.__class__ = FixedSame
        convolution.sides = (left, right, top, bottom)


def _ends(size: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """What is padded before and after a side of so many pixels, and how many come out."""
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2, out
