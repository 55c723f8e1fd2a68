"""One image's features, and the file that keeps them."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cfa_lab.data.geometry import Placement


@dataclass(frozen=True)
class ImageFeatures:
    """One image's pooled maps (c_l, h_l, w_l), and where it lies in the network's input."""

    placement: Placement
    pyramid: list[Tensor]


class DamagedEntry(Exception):
    """A file that is not what was written."""


def encode(features: ImageFeatures, *, identity: Mapping[str, Any]) -> bytes:
    """Features as a safetensors file: each level as (h_l, w_l, c_l), with a checksum over all.

    `identity` says how the features were made, for whoever lists the store.
    """
    levels = [level.movedim(0, -1).contiguous().cpu() for level in features.pyramid]  # (h, w, c)
    placement = json.dumps(astuple(features.placement))
    metadata = {
        "identity": json.dumps(identity),
        "placement": placement,
        "checksum": _checksum(placement, levels),
    }
    return save({str(i): level for i, level in enumerate(levels)}, metadata)


def read_entry(path: Path) -> ImageFeatures:
    """Map features into memory, on CPU. Raises DamagedEntry, or FileNotFoundError."""
    try:
        with safe_open(path, "pt") as file:
            levels = [file.get_tensor(str(i)) for i in range(len(file.keys()))]
            metadata = file.metadata()
        if metadata["checksum"] != _checksum(metadata["placement"], levels):
            raise DamagedEntry("its checksum is wrong")
        original, window, content = map(tuple, json.loads(metadata["placement"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DamagedEntry(str(error)) from error
    return ImageFeatures(
        Placement(original, window, content), [level.movedim(-1, 0) for level in levels]
    )


def _checksum(placement: str, levels: Sequence[Tensor]) -> str:
    """CRC-32 of everything that a reader takes from an entry: 4 GB/s, so checked at every read."""
    described = [(str(level.dtype), tuple(level.shape)) for level in levels]
    value = zlib.crc32(f"{placement} {described}".encode())
    for level in levels:
        value = zlib.crc32(level.view(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"
