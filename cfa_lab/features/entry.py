"""One image's features, and the file that keeps them."""

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cfa_lab.data.geometry import Placement
from cfa_lab.method.checksum import checksum
from cfa_lab.texts import parse_json, refuse_no_file

ENTRY_SCHEMA = 2
"""Of the file; since 2 it says what it holds the features of."""


@dataclass(frozen=True)
class ImageFeatures:
    """One image's pooled maps (c_l, h_l, w_l), and where it lies in the network's input."""

    placement: Placement
    pyramid: list[Tensor]


class DamagedEntry(Exception):
    """A file that is not what was written."""


def encode(features: ImageFeatures, *, of: str, identity: Mapping[str, Any]) -> bytes:
    """Features as a safetensors file: each level as (h_l, w_l, c_l), with a checksum over all.

    `of` names the image and the way its features are made; a reader has to ask for the same.
    `identity` says how they were made, for whoever lists the store.
    """
    levels = [level.movedim(0, -1).contiguous().cpu() for level in features.pyramid]  # (h, w, c)
    placement = json.dumps(astuple(features.placement))
    metadata = {
        "identity": json.dumps(identity),
        "placement": placement,
        "of": of,
        "checksum": checksum(levels, f"{of} {placement}"),
    }
    return save({str(i): level for i, level in enumerate(levels)}, metadata)


def read_entry(path: Path, *, of: str) -> ImageFeatures:
    """Map features into memory, on CPU.

    Raises DamagedEntry, also where the entry is not `of` what was asked for, or FileNotFoundError.
    """
    try:
        refuse_no_file(path)
        with safe_open(path, "pt") as file:
            levels = [file.get_tensor(str(i)) for i in range(len(file.keys()))]
            metadata = file.metadata()
        if metadata["checksum"] != checksum(levels, f"{metadata['of']} {metadata['placement']}"):
            raise DamagedEntry("its checksum is wrong")
        if metadata["of"] != of:
            raise DamagedEntry("it holds the features of another image, or others of this one")
        original, window, content = map(tuple, parse_json(metadata["placement"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DamagedEntry(str(error)) from error
    return ImageFeatures(
        Placement(original, window, content), [level.movedim(-1, 0) for level in levels]
    )
