"""Each list of words stands once, and a word that is on none is refused wherever it enters."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import compose, make_pyramid

import cfa_lab
from cfa_lab import fit_pyramid, vocabulary
from cfa_lab.config import load_settings
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
from cfa_lab.training.loop import train

PACKAGE = Path(cfa_lab.__file__).parent
WORDS = {name: value for name, value in vars(vocabulary).items() if name.isupper()}
"""Every list of the vocabulary by its name."""


def _extractor(**words: str) -> Any:
    given: Any = {"dtype": "half", "precision": "exact"} | words
    unused: Any = None
    return Extractor(
        backbone=unused,
        geometry=unused,
        device=torch.device("cpu"),
        batch_size=1,
        workers=1,
        **given,
    )


def _geometry(**words: str) -> Any:
    given: Any = {"resize": "stretch"} | words
    return Geometry(height=32, width=32, size=32, **given)


def _loss(**words: Any) -> Any:
    return HypersphereLoss(K=3, J=1, alpha=0.1, nu=1e-3, **words)


def _scoring(**words: Any) -> Any:
    return Scoring(num_neighbours=3, **words)


def _descriptor(word: str) -> Any:
    return new_descriptor([2, 3], 5, init=word, generator=torch.Generator())


def _bank(word: str) -> Any:
    levels = [torch.zeros(2, 2, 3, 3)]
    return bank_maker(word, lambda: [levels], beta=0.1, gamma_c=1, seed=0)


def _train(word: str) -> Any:
    unused: Any = None
    return train(unused, [], epochs=[], loss=unused, precision=word, observer=unused)


def _activation(word: Any) -> Any:
    return Architecture(model="resnet18", layers=["layer1"], activation=word)


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
    "backbone.release": ("RELEASES", []),
    "image.resize": ("RESIZES", [lambda word: _geometry(resize=word)]),
    "image.interpolation": ("INTERPOLATIONS", [lambda word: _geometry(interpolation=word)]),
    "features.dtype": ("DTYPES", [lambda word: _extractor(dtype=word)]),
    "features.precision": ("PRECISIONS", [lambda word: _extractor(precision=word)]),
    "trainer.precision": ("PRECISIONS", [_train]),
    "descriptor.init": ("INITIALISATIONS", [_descriptor]),
    "memory_bank.kind": ("BANK_KINDS", [_bank]),
    "loss.negatives": ("NEGATIVES", [lambda word: _loss(negatives=word)]),
    "loss.alpha_sign": ("ALPHA_SIGNS", [lambda word: _loss(alpha_sign=word)]),
    "scoring.weighting": ("WEIGHTINGS", [lambda word: _scoring(weighting=word)]),
    "scoring.border": ("BORDERS", [lambda word: _scoring(border=word)]),
    "scoring.reducer": ("REDUCERS", [lambda word: _scoring(reducer=word)]),
    "evaluation.threshold": ("THRESHOLD_RULES", [lambda word: fit_threshold(np.ones(9), word)]),
    "tracker.name": ("TRACKER_NAMES", []),
    "tracker.mode": ("TRACKER_MODES", [_tracker]),
    "preset": (
        "PRESETS",
        [load_settings, lambda word: fit_pyramid(make_pyramid(2), preset=word, epochs=0)],
    ),
}
"""Where words enter: the key, its list, and what a library user may hand a word to.

A key without a function is read by the command line's rooms only, from a checked configuration.
"""

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


@pytest.mark.parametrize("key, call", [c for c in CALLS if c.values[1] not in (_tracker, _train)])
def test_the_library_takes_every_word_of_the_list(key: str, call: Callable[[Any], Any]):
    for word in WORDS[ENTRIES[key][0]]:
        call(word)


@pytest.mark.parametrize("key", ENTRIES.keys() - {"preset"})
def test_the_configuration_refuses_another_word(key: str):
    allowed = ", ".join(WORDS[ENTRIES[key][0]])
    with pytest.raises(UserError) as caught:
        compose(f"{key}=neerest")
    assert str(caught.value) == f"{key} is 'neerest'; allowed: {allowed}"


def test_the_presets_are_the_files_there_are():
    assert {path.stem for path in (PACKAGE.parent / "conf" / "preset").glob("*.yaml")} == set(
        vocabulary.PRESETS
    )


@pytest.mark.parametrize("name", WORDS)
def test_a_list_stands_once(name: str):
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Tuple | ast.List | ast.Set):
                parts = node.elts
            elif isinstance(node, ast.Dict):
                parts = node.keys
            else:
                continue
            found = {part.value for part in parts if isinstance(part, ast.Constant)}
            again = set(WORDS[name]) <= found and path != PACKAGE / "vocabulary.py"
            assert not again, f"{path}:{node.lineno} lists the words of vocabulary.{name} again"
