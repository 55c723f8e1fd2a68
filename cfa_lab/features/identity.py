"""What decides the bits of an image's features, besides the extractor's own settings."""

import hashlib
import importlib.metadata
import stat
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfa_lab.errors import UserError

if TYPE_CHECKING:
    import torch

FEATURES_VERSION = 1
"""Raised whenever this package would make other features of the same image."""

PACKAGES = ("torch", "timm", "pillow")
"""Whose versions may change the last bits of features."""


def image_hash(path: Path) -> str:
    """A hash of an image file's bytes, 32 hexadecimal digits; raises UserError for no file."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, for ever
            raise UserError(f"{path} is no file; replace it or take it out of the data set")
        return _hash_of(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise UserError(
            f"cannot read image {path}: {error.strerror}; "
            "replace the file or take it out of the data set"
        ) from error


@lru_cache(maxsize=100_000)
def _hash_of(path: Path, num_bytes: int, modified: int) -> str:
    """Size and time are there to tell a file from the one that stood there before."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def circumstances(device: "torch.device") -> dict[str, Any]:
    """Versions and arithmetic that decide how features are computed and rounded, as JSON values."""
    import torch

    with warnings.catch_warnings():
        # torch 2.9 warns of this question, and has no other for it on a CPU
        warnings.filterwarnings("ignore", "Please use the new API settings", UserWarning)
        matmul = torch.get_float32_matmul_precision()
    common = {
        "version": FEATURES_VERSION,
        "device": device.type,
        "matmul": matmul,
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }
    if device.type == "cuda":
        cudnn = torch.backends.cudnn
        return common | {
            "processor": torch.cuda.get_device_name(device),
            "cudnn": [cudnn.version(), False, cudnn.benchmark, cudnn.deterministic],  # no TF32
        }
    # EfficientNet's deeper maps differ in the last bit between one thread and two
    return common | {
        "processor": torch.backends.cpu.get_cpu_capability(),
        "num_threads": torch.get_num_threads(),
    }
