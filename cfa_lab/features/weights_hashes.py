"""Hashes of networks' weights, kept so that a study can be looked at without making networks.

Needs no torch. A hash is believed only as long as what it was taken from stands there unchanged:
the file with its size and time, the pip package, or for random weights torch, timm and the name.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cfa_lab.features.identity import FEATURES_VERSION
from cfa_lab.features.own import is_own
from cfa_lab.features.packaged import PACKAGED
from cfa_lab.files import write_atomically
from cfa_lab.texts import read_json

SHELF = "weights"
"""The folder of the feature store that holds them, a small file each."""
HUB_FILE = "model.safetensors"
MAKERS = ("cfa-lab", "timm", "torch")
"""Packages whose versions may make another network of the same name."""


@dataclass(frozen=True, kw_only=True)
class WantedNetwork:
    """All that decides a frozen network and whether it can be had."""

    model: str
    weights: str
    """`pretrained`, `random` or a file."""
    tag: str | None
    layers: tuple[str, ...] | None
    activation: str
    divide_by_channels: bool
    padding: str
    norm: bool
    size: tuple[int, int]
    """Height and width of its input, pixels."""


def recall(store: Path, wanted: WantedNetwork) -> str | None:
    """The hash of the network's weights as it was found before; None where that may be out of date.

    A network of another package is never remembered: its code decides what it is.
    """
    try:
        known = read_json(_file(store, wanted))
        found, source = known["hash"], known["source"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if source == _source(wanted, source.get("hub")) else None


def remember(store: Path, wanted: WantedNetwork, weights_hash: str, *, hub: str | None) -> None:
    """Keep the hash of weights that have just been read; `hub`: the repository they came from."""
    source = _source(wanted, hub)
    if source is None or recall(store, wanted) == weights_hash:
        return
    with suppress(OSError):  # a store that is only read
        file = _file(store, wanted)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps({"hash": weights_hash, "source": source}) + "\n")


def forget(store: Path) -> None:
    """Delete all that is remembered."""
    for file in (store / SHELF).glob("*.json"):
        file.unlink(missing_ok=True)


def _file(store: Path, wanted: WantedNetwork) -> Path:
    makers = {name: version(name) for name in MAKERS}
    circumstances = {"makers": makers, "features": FEATURES_VERSION}
    text = json.dumps({**asdict(wanted), **circumstances}, sort_keys=True)
    return store / SHELF / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def _source(wanted: WantedNetwork, hub: str | None) -> dict[str, Any] | None:
    """Where the weights come from, as it stands now; None where that cannot be told from here."""
    if is_own(wanted.model):
        return None
    if wanted.weights == "random":
        return {}
    if wanted.weights != "pretrained":
        return _standing(Path(wanted.weights).absolute())
    if wanted.model in PACKAGED:
        with suppress(PackageNotFoundError):
            package = PACKAGED[wanted.model].package
            return {"package": package, "version": version(package)}
        return None
    if hub is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(hub, HUB_FILE)
    return {"hub": hub, **(_standing(Path(cached)) or {})} if isinstance(cached, str) else None


def _standing(path: Path) -> dict[str, Any] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return {"file": str(path), "bytes": status.st_size, "modified": status.st_mtime_ns}
