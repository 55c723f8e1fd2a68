"""By what a run is known: a hash of all that decides its fit, and one of all its numbers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cfa_lab.config import Config
from cfa_lab.data.geometry import Geometry
from cfa_lab.data.samples import SampleTable
from cfa_lab.errors import UserError
from cfa_lab.features.identity import image_hash
from cfa_lab.features.own import code_hash
from cfa_lab.progress import each
from cfa_lab.records.environment import count_cores

METHOD_VERSION = 7
"""Raised whenever a number could change for the same configuration; part of every run key."""


def fit_key_of(
    config: Config, table: SampleTable, geometry: Geometry, backbone_hash: str, num_threads: int
) -> str:
    """The hash of everything that decides a fit: not the device's name, paths or tracker."""
    values = asdict(config)
    decisive = ("image", "descriptor", "memory_bank", "loss", "optimizer", "trainer", "seed")
    chosen = {key: values[key] for key in decisive}
    del chosen["trainer"]["num_threads"]
    if chosen["memory_bank"]["starts"] == 1:  # runs of before there were more keep their keys
        del chosen["memory_bank"]["starts"]
    chosen["image"] = geometry.decisive()  # with the depth that was found
    backbone = {k: v for k, v in values["backbone"].items() if k not in ("name", "weights")}
    features = {k: v for k, v in config.features.extraction.items() if k != "workers"}
    return hash_key(
        {
            "config": chosen | {"backbone": backbone, "features": features},
            "train": {
                s.path: image_hash(table.absolute(s.path))
                for s in each(table.train, "reading", len(table.train))
            },
            "weights": backbone_hash,
            "num_threads": num_threads,
            **own_code(config.backbone.model),
        }
    )


def run_key_of(config: Config, table: SampleTable, fit_key: str) -> str:
    """The hash of everything that decides a run's numbers; test files count by name and size."""
    evaluation = asdict(config.evaluation)
    for key in ("maps", "cases", "spill_gb", "diagnostics"):
        del evaluation[key]
    if not evaluation["folds"]:  # runs of before there were folds keep their keys
        del evaluation["folds"]
    return hash_key(
        {
            "fit": fit_key,
            "config": {"scoring": asdict(config.scoring), "evaluation": evaluation},
            **_own_measures(table),
            "validation": {s.path: image_hash(table.absolute(s.path)) for s in table.validation},
            "labels": [[s.path, s.label, s.defect, table.mask_above] for s in table.test],
            "test": {
                path: _num_bytes(table.absolute(path))
                for sample in table.test
                for path in (sample.path, *sample.masks)
            },
        }
    )


def hash_key(parts: Mapping[str, Any]) -> str:
    """A short hash of whatever decides numbers, and of the method's version."""
    text = json.dumps({"method": METHOD_VERSION, **parts}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def count_threads(num_threads: int | None) -> int:
    """The number of CPU threads asked for; None means all cores this process may use."""
    return count_cores() if num_threads is None else num_threads


def own_code(model: str) -> dict[str, str]:
    """The code of a network that is not timm's; empty for one that is."""
    code = code_hash(model)
    return {} if code is None else {"code": code}


def _own_measures(table: SampleTable) -> dict[str, Any]:
    """What decides the metrics that this data set has and most have not; empty for those."""
    if not table.measures:
        return {}
    rules = {} if table.saturation is None else table.saturation
    return {
        "measures": list(table.measures),
        "saturation": {str(value): asdict(rule) for value, rule in sorted(rules.items())},
    }


def _num_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise UserError(
            f"cannot find {path}: {error.strerror}; replace the file or take it out of the data set"
        ) from error
