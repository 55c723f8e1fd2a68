"""timm, and the families of its networks whose layers are walked one by one."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch._compile import _disable_dynamo  # pyright: ignore[reportPrivateUsage]

from cfa_lab.method.put_off import put_off


@contextmanager
def _compiler_put_off() -> Generator[None]:
    """Let the body decorate with `torch.compiler.disable` as torch does within itself.

    torch's own decorator imports the compiler when the function is called, the public one at once.
    """
    at_once = torch.compiler.disable
    torch.compiler.disable = _disable_dynamo
    try:
        yield
    finally:
        torch.compiler.disable = at_once


# timm imports W&B for its training scripts, and torch's compiler for torchvision's RoI operators
# and one transformer: together half of the time to a run's first image.
with put_off({"torch._dynamo.utils": ["is_compile_supported"], "wandb": []}), _compiler_put_off():
    import timm
    from timm.layers.conv2d_same import Conv2dSame
    from timm.models.efficientnet import EfficientNet
    from timm.models.resnet import ResNet
    from timm.models.vgg import VGG

__all__ = ["VGG", "Conv2dSame", "EfficientNet", "ResNet", "timm"]
