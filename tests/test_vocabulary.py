"""Words and bounds stand once, and what they do not allow is refused wherever it enters."""

import ast
import math
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import compose

import cfa_lab
from cfa_lab import vocabulary
from cfa_lab.config import Config, load_settings
from cfa_lab.data.geometry import Geometry
from cfa_lab.errors import UserError
from cfa_lab.features.extract import Extractor
from cfa_lab.method.backbone import Architecture
from cfa_lab.method.descriptor import new_descriptor
from cfa_lab.method.loss import HypersphereLoss
from cfa_lab.method.memory_bank import bank_maker
from cfa_lab.method.scoring import Scoring
from cfa_lab.metrics.thresholds import fit_threshold
from cfa_lab.tracking import WandbTracker
from cfa_lab.training.parts import make_step
from cfa_lab.vocabulary import BOUNDS, Bounds

PACKAGE = Path(cfa_lab.__file__).parent
WORDS = {name: value for name, value in vars(vocabulary).items() if isinstance(value, tuple)}
WORDS = {name: value for name, value in WORDS.items() if not isinstance(value, vocabulary.Bounds)}
"""Every list of the vocabulary by its name."""


def _extractor(**values: Any) -> Any:
    usual: Any = {"dtype": "half", "precision": "exact", "batch_size": 1, "workers": 1}
    unused: Any = dict.fromkeys(("backbone", "geometry", "device"))
    return Extractor(**unused | usual | values)


def _geometry(**values: Any) -> Any:
    usual: Any = {"resize": "stretch", "height": 32, "width": 32, "size": 32}
    return Geometry(**usual | values)


def _loss(**values: Any) -> Any:
    usual: Any = {"K": 3, "J": 1, "alpha": 0.1, "nu": 1e-3}
    return HypersphereLoss(**usual | values)


def _scoring(**values: Any) -> Any:
    usual: Any = {"num_neighbours": 3}
    return Scoring(**usual | values)


def _descriptor(word: str) -> Any:
    return new_descriptor([2, 3], 5, init=word, generator=torch.Generator())


def _bank(**values: Any) -> Any:
    levels = [torch.zeros(2, 2, 3, 3)]
    usual: Any = {"kind": "mean", "beta": 0.1, "gamma_c": 1, "seed": 0}
    return bank_maker(batches=lambda: [levels], **usual | values)


def _threshold(**values: Any) -> Any:
    return fit_threshold(np.arange(9.0), **values)


def _step(word: str) -> Any:
    unused: Any = None
    return make_step(unused, unused, unused, unused, precision=word)


def _activation(word: Any) -> Any:
    return Architecture(model="resnet18", layers=["layer1"], activation=word)


def _padding(word: Any) -> Any:
    return Architecture(model="resnet18", layers=["layer1"], padding=word)


def _tracker(word: str) -> Any:
    return WandbTracker(
        Path("nowhere"),
        config={},
        project="p",
        entity=None,
        group=None,
        job_type="train",
        name="n",
        tags=[],
        mode=word,
        images=False,
        model=False,
        resume_id=None,
    )


ENTRIES: dict[str, tuple[str, list[Callable[[Any], Any]]]] = {
    "backbone.activation": ("ACTIVATIONS", [_activation]),
    "backbone.padding": ("PADDINGS", [_padding]),
    "backbone.release": ("RELEASES", []),
    "image.resize": ("RESIZES", [lambda word: _geometry(resize=word)]),
    "image.interpolation": ("INTERPOLATIONS", [lambda word: _geometry(interpolation=word)]),
    "features.dtype": ("DTYPES", [lambda word: _extractor(dtype=word)]),
    "features.precision": ("PRECISIONS", [lambda word: _extractor(precision=word)]),
    "optimizer.name": (
        "OPTIMIZER_NAMES",
        [lambda word: replace(load_settings("lab").optimizer, name=word)],
    ),
    "trainer.precision": ("PRECISIONS", [_step]),
    "descriptor.init": ("INITIALISATIONS", [_descriptor]),
    "memory_bank.kind": ("BANK_KINDS", [lambda word: _bank(kind=word)]),
    "loss.negatives": ("NEGATIVES", [lambda word: _loss(negatives=word)]),
    "loss.alpha_sign": ("ALPHA_SIGNS", [lambda word: _loss(alpha_sign=word)]),
    "scoring.weighting": ("WEIGHTINGS", [lambda word: _scoring(weighting=word)]),
    "scoring.border": ("BORDERS", [lambda word: _scoring(border=word)]),
    "scoring.reducer": ("REDUCERS", [lambda word: _scoring(reducer=word)]),
    "evaluation.threshold": ("THRESHOLD_RULES", [lambda word: _threshold(rule=word)]),
    "tracker.name": ("TRACKER_NAMES", []),
    "tracker.mode": ("TRACKER_MODES", [_tracker]),
}
"""Where words enter: the key, its list, and what a library user may hand a word to.

A key without a function is read by the command line's rooms only, from a checked configuration.
"""


@cache
def usual_config() -> Config:
    return compose()


def configured(key: str, value: Any) -> None:
    """Give a key of the configuration another value; its class checks it."""
    group, _, name = key.rpartition(".")
    config: Any = usual_config()
    replace(getattr(config, group) if group else config, **{name: value})


CALLS = [
    pytest.param(key, call, id=f"{key}-{i}")
    for key, (_, calls) in ENTRIES.items()
    for i, call in enumerate(calls)
]


def test_every_list_has_an_entry():
    assert {name for name, _ in ENTRIES.values()} == set(WORDS)


@pytest.mark.parametrize("wrong", ["neerest", "", "MAX", "mean "])
@pytest.mark.parametrize("key, call", CALLS)
def test_the_library_refuses_another_word(key: str, call: Callable[[Any], Any], wrong: str):
    allowed = ", ".join(WORDS[ENTRIES[key][0]])
    with pytest.raises(UserError) as caught:
        call(wrong)
    assert str(caught.value) == f"{key} is {wrong!r}; allowed: {allowed}"


@pytest.mark.parametrize("key, call", [c for c in CALLS if c.values[1] not in (_tracker, _step)])
def test_the_library_takes_every_word_of_the_list(key: str, call: Callable[[Any], Any]):
    for word in WORDS[ENTRIES[key][0]]:
        call(word)


@pytest.mark.parametrize("key", sorted(ENTRIES))
def test_the_configuration_refuses_another_word(key: str):
    allowed = ", ".join(WORDS[ENTRIES[key][0]])
    with pytest.raises(UserError) as caught:
        configured(key, "neerest")
    assert str(caught.value) == f"{key} is 'neerest'; allowed: {allowed}"


NUMBERS: dict[str, Callable[[Any], Any]] = {
    "image.height": lambda value: _geometry(height=value),
    "image.width": lambda value: _geometry(width=value),
    "image.size": lambda value: _geometry(size=value),
    "image.crop": lambda value: _geometry(crop=value),
    "image.overlap": lambda value: _geometry(overlap=value),
    "features.batch_size": lambda value: _extractor(batch_size=value),
    "features.workers": lambda value: _extractor(workers=value),
    "memory_bank.gamma_c": lambda value: _bank(gamma_c=value),
    "memory_bank.starts": lambda value: _bank(starts=value),
    "memory_bank.beta": lambda value: _bank(beta=value),
    "loss.K": lambda value: _loss(K=value),
    "loss.J": lambda value: _loss(J=value),
    "loss.alpha": lambda value: _loss(alpha=value),
    "loss.nu": lambda value: _loss(nu=value),
    "scoring.num_neighbours": lambda value: _scoring(num_neighbours=value),
    "scoring.sigma": lambda value: _scoring(sigma=value),
    "scoring.top_fraction": lambda value: _scoring(top_fraction=value),
    "evaluation.quantile": lambda value: _threshold(quantile=value),
    "evaluation.num_sd": lambda value: _threshold(rule="mean_sd", num_sd=value),
}
"""What a library user may hand a number to, by the number's key."""


def beyond(bounds: Bounds) -> list[float]:
    """Numbers just out of bounds: below and, where there is an upper one, above."""
    step = 1 if bounds.whole else 0.5
    low = bounds.low if bounds.above else bounds.low - step
    high = [bounds.high if bounds.below else bounds.high + step] if bounds.high < math.inf else []
    return [low, *high]


OUTSIDE = [(key, value) for key, bounds in BOUNDS.items() for value in beyond(bounds)]


@pytest.mark.parametrize("key, value", OUTSIDE)
def test_the_configuration_refuses_a_number_out_of_bounds(key: str, value: float):
    with pytest.raises(UserError) as caught:
        configured(key, [0.3, value] if key == "evaluation.aupro_limits" else value)
    assert str(caught.value) == f"{key} is {value}; allowed: {BOUNDS[key]}"


def test_every_number_of_the_schema_has_bounds():
    def numbers(values: dict[str, Any], prefix: str) -> set[str]:
        found: set[str] = set()
        for name, value in values.items():
            if isinstance(value, dict):
                found |= numbers(value, f"{prefix}{name}.")
            elif isinstance(value, int | float) and not isinstance(value, bool):
                found.add(prefix + name)
        return found

    assert numbers(asdict(usual_config()), "") <= BOUNDS.keys()


@pytest.mark.parametrize("key", NUMBERS)
def test_the_library_refuses_a_number_out_of_bounds(key: str):
    bounds = BOUNDS[key]
    for value in [*beyond(bounds), math.nan, math.inf, "much", *([2.5] if bounds.whole else [])]:
        with pytest.raises(UserError, match=f"^{re.escape(key)} is "):
            NUMBERS[key](value)


@pytest.mark.parametrize("key", NUMBERS)
def test_the_library_takes_the_bounds_themselves_and_numpys_numbers(key: str):
    bounds = BOUNDS[key]
    if key == "image.overlap":
        return  # 0, and only for tiles more
    kind = np.int64 if bounds.whole else np.float32
    low = kind(bounds.low) + (kind(1e-3) if bounds.above else kind(0))
    NUMBERS[key](low)
    if bounds.high < math.inf:
        NUMBERS[key](kind(bounds.high) - (kind(1e-3) if bounds.below else kind(0)))


def test_bounds_are_told_as_people_say_them():
    told = {key: str(BOUNDS[key]) for key in ("loss.K", "loss.nu", "seed", "scoring.top_fraction")}
    assert told == {
        "loss.K": "at least 1",
        "loss.nu": "above 0",
        "seed": "0 to 4294967295",
        "scoring.top_fraction": "above 0 to 1",
    }
    assert str(BOUNDS["evaluation.quantile"]) == "between 0 and 1"
    assert str(BOUNDS["dataset.test_fraction"]) == "0 to below 1"


def test_each_list_stands_once():
    for path in set(PACKAGE.rglob("*.py")) - {PACKAGE / "vocabulary.py"}:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Tuple | ast.List | ast.Set):
                parts = node.elts
            elif isinstance(node, ast.Dict):
                parts = node.keys
            else:
                continue
            found = {part.value for part in parts if isinstance(part, ast.Constant)}
            again = [name for name, words in WORDS.items() if set(words) <= found]
            assert not again, f"{path}:{node.lineno} lists the words of vocabulary.{again} again"
