"""Every key can be explained, from the schema, and docs/keys.md is what the schema says."""

import re
from pathlib import Path

import pytest

from cfa_lab import vocabulary
from cfa_lab.cli.command import compose
from cfa_lab.cli.explain import main, markdown
from cfa_lab.cli.schema import dotted_keys
from cfa_lab.config.meanings import meanings
from cfa_lab.errors import UserError

ROOT = Path(__file__).parents[2]


def told(capsys: pytest.CaptureFixture[str], *keys: str) -> str:
    main([*keys], compose)
    return capsys.readouterr().out


def test_every_key_has_a_sentence():
    assert list(meanings()) == dotted_keys() or set(meanings()) == set(dotted_keys())
    assert [key for key, meaning in meanings().items() if len(meaning.sentence) < 5] == []


def test_every_bound_and_every_list_of_words_is_found():
    assert {key for key in vocabulary.BOUNDS if not meanings()[key].allowed} == set()
    schema = "\n".join(p.read_text() for p in (ROOT / "cfa_lab" / "config").glob("*.py"))
    with_words = re.findall(r'one_of\("([\w.]+)", self', schema)
    assert len(with_words) > 10
    for key in with_words:
        assert ", " in meanings()[key].allowed, key


def test_a_key_is_told_with_bounds_default_and_values_by_preset(capsys):
    text = told(capsys, "loss.nu")
    assert text.splitlines() == [
        "loss.nu  number; allowed: above 0",
        "  Both terms are divided by it.",
        "  default: 0.001",
        "  by preset: paper 1",
    ]
    assert "whole number; allowed: at least 1" in told(capsys, "loss.K=5")


def test_a_group_is_told_key_by_key_with_its_options(capsys):
    text = told(capsys, "optimizer")
    for key in ("optimizer.lr", "optimizer.time", "optimizer.amsgrad"):
        assert key in text
    assert re.search(r"closed_form +Solved for in one pass", text)
    assert "quickstart" in told(capsys, "experiment")
    assert "official" in told(capsys, "preset")
    everything = told(capsys)
    assert everything.count("\n") == sum("." not in key for key in meanings())


def test_an_unknown_key_is_answered_with_the_one_that_is_meant():
    with pytest.raises(UserError, match=r"'dataset.path' \(did you mean 'dataset.root'\?\)"):
        main(["dataset.path"], compose)


def test_options_and_hydras_own_keys_are_told(capsys):
    assert told(capsys, "quickstart").startswith("experiment=quickstart  ")
    assert told(capsys, "mvtec").startswith("dataset=mvtec")
    lines = told(capsys, "closed_form").splitlines()
    assert [line.partition("  ")[0] for line in lines] == [
        "experiment=closed_form",
        "optimizer=closed_form",
    ]
    assert "instead of outputs/<day>/<time>" in told(capsys, "hydra.run.dir")
    launchers = told(capsys, "hydra/launcher")
    assert "one by one" in launchers and "slurm " in launchers
    with pytest.raises(UserError, match=r"'hydra\.sweep\.dirs' \(did you mean 'hydra\.sweep\.dir"):
        main(["hydra.sweep.dirs"], compose)
    with pytest.raises(UserError, match=r"unknown key 'default'; python"):
        main(["default"], compose)


def test_the_document_of_keys_is_what_the_schema_says():
    assert (ROOT / "docs" / "keys.md").read_text(encoding="utf-8") == markdown(compose), (
        "make it again: python -m cfa_lab explain --markdown > docs/keys.md"
    )
