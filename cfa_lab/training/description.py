"""What a fitted model says of itself, beside its tensors in a run folder and inside exported files.

Reads and writes without torch, so that an exported model is used without it.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from cfa_lab.data.geometry import Geometry
from cfa_lab.errors import UserError
from cfa_lab.texts import parse_json
from cfa_lab.vocabulary import DTYPES, PRECISIONS, one_of

SCHEMA = 2
"""Of `model.json`; raised whenever an older reader would read it wrongly."""
READABLE = (1, SCHEMA)
"""Schema 1 knows neither thresholds nor colours, nor where the backbone's weights came from."""


OF_BACKBONE = {
    *("model", "layers", "activation", "divide_by_channels", "padding", "norm", "mean", "std"),
}
"""The fields of `Architecture`."""
MOST_PIXELS = 2**27
"""Of a network's input; larger ones fit no memory."""
MOST_THREADS = 4096
"""No machine has more cores, and each thread takes memory."""


@dataclass(frozen=True, kw_only=True)
class ModelThresholds:
    """From which score on an image, and a pixel, is a defect (`score >= threshold`).

    `origin` says which rule set them, from how many images, and when.
    """

    image: float
    pixel: float
    origin: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """All that scoring an image file needs besides tensors, as plain values."""

    channels: list[int]
    """Of each backbone level, finest first."""
    scoring: dict[str, Any]
    """The fields of `Scoring`."""
    backbone: dict[str, Any]
    """The fields of `Architecture`."""
    backbone_weights_hash: str
    backbone_weights: dict[str, Any] = field(default_factory=dict)
    """How to get them again: `source` (pretrained, random or a file), timm's `tag`, and the hash of
    the `code` that makes a network which is not timm's."""
    image: Geometry
    features: dict[str, Any]
    """`dtype`, `precision` and `batch_size` of the extractor."""
    num_threads: int | None = None
    """Of the process that measured the model: with as many the scores are the same bits."""
    category: str | None = None
    run_key: str | None = None
    thresholds: ModelThresholds | None = None
    colour_range: tuple[float, float] | None = None
    """The map values at both ends of the run's one colour scale."""
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The description as JSON values, its schema first."""
        values = asdict(self)
        for name in ("bits", "range"):  # left out, earlier versions read the file
            if values["image"][name] is None:
                del values["image"][name]
        return {"schema": SCHEMA, **values}


def read_description(values: Any, *, where: object) -> ModelDescription:
    """A description from JSON values; raises UserError naming `where` and what is wrong."""
    try:
        if values["schema"] not in READABLE:
            raise ValueError(f"schema {values['schema']!r}, this version reads {READABLE}")
        _check(values)
        known = {f.name for f in fields(ModelDescription)}
        chosen = {name: value for name, value in values.items() if name in known}
        chosen["image"] = Geometry(**values["image"])
        if chosen.get("thresholds") is not None:
            chosen["thresholds"] = ModelThresholds(**chosen["thresholds"])
        if chosen.get("colour_range") is not None:
            low, high = chosen["colour_range"]
            chosen["colour_range"] = float(low), float(high)
        return ModelDescription(**chosen)
    except (KeyError, TypeError, ValueError, UserError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{where} describes no model that can be used ({what})") from error


def _check(values: Mapping[str, Any]) -> None:
    """Raise ValueError for a part that no model has."""
    channels = values["channels"]
    if not channels or not all(type(count) is int and count > 0 for count in channels):
        raise ValueError(f"channels {channels!r}, allowed: the number of each level's maps")
    for name in ("scoring", "backbone", "features", "image"):
        if not isinstance(values[name], dict):
            raise ValueError(f"{name} {values[name]!r}, allowed: names and values")
    for name, words in (("dtype", DTYPES), ("precision", PRECISIONS)):
        if (word := values["features"].get(name)) is not None:
            one_of(f"features.{name}", word, words)
    _check_backbone(values["backbone"])
    height, width = (values["image"].get(side, 1) for side in ("height", "width"))
    if type(height) is int and type(width) is int and height * width > MOST_PIXELS:
        raise ValueError(f"an input of {height} x {width} pixels, allowed: {MOST_PIXELS} together")
    threads = values.get("num_threads")
    if threads is not None and not (type(threads) is int and 1 <= threads <= MOST_THREADS):
        raise ValueError(f"num_threads {threads!r}, allowed: 1 to {MOST_THREADS}")
    for name in ("backbone_weights", "versions"):
        if not isinstance(values.get(name, {}), dict):
            raise ValueError(f"{name} {values[name]!r}, allowed: names and values")
    limits = values.get("thresholds") or {}
    for name in ("image", "pixel"):
        if not math.isfinite(limits.get(name, 0.0)):
            raise ValueError(f"the {name} threshold {limits[name]!r}, allowed: a finite number")


def _check_backbone(values: Mapping[str, Any]) -> None:
    """Raise ValueError for what no network is described by; words are left to who makes it."""
    if odd := sorted({*values} - OF_BACKBONE):
        raise ValueError(f"backbone.{odd[0]}, which this version does not know")
    layers = values["layers"]
    if not (
        isinstance(layers, list | tuple) and layers and all(isinstance(one, str) for one in layers)
    ):
        raise ValueError(f"backbone.layers {layers!r}, allowed: names of a network's maps")
    for name in ("mean", "std"):
        found = values.get(name, [1.0] * 3)
        numbers = isinstance(found, list | tuple) and len(found) == 3
        if not numbers or not all(math.isfinite(one) and (one or name == "mean") for one in found):
            raise ValueError(f"backbone.{name} {found!r}, allowed: a number for each colour")


def parse_description(text: str, *, where: object) -> ModelDescription:
    """A description from JSON text; raises UserError naming `where`."""
    try:
        values: Mapping[str, Any] = parse_json(text)
    except ValueError as error:
        raise UserError(f"{where} is damaged: {error}; train or export it again") from error
    return read_description(values, where=where)
