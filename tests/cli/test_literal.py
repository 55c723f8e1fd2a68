"""What is typed for a text arrives as typed, whatever Hydra's grammar would make of it."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from cfa_lab.cli import compose
from cfa_lab.cli.arguments import overrides_first, without_plus
from cfa_lab.cli.literal import as_typed, from_python, literal, text_keys
from cfa_lab.errors import UserError

TEXTS = ["2024_01_15", "1e3", "null", "true", "Lot 3 (ok)", "lot=3", "0.10", "a,b", "it's", "[1]"]


def parsed(argument: str):
    return OverridesParser.create().parse_override(argument).value()


@given(st.text(st.characters(codec="utf-8", exclude_characters="$\n\r\0"), max_size=12))
@example("C:\\data\\")
@example("\\'")
@example(" ")
def test_a_text_survives(text: str):
    if not text.strip().startswith(("'", '"')) and text and "(" not in text:
        assert str(parsed(f"key={literal(text)}")) == text


@pytest.mark.parametrize("text", TEXTS)
def test_names_and_paths_are_composed_as_typed(text: str):
    config = compose([f"category={text}", f"dataset.root=/data/{text}", f"dataset.normal=[{'x'}]"])
    assert config.category == text and config.dataset.root == f"/data/{text}"


@pytest.mark.parametrize("plain", ["bottle", "15", "pcb-1.a", "'quoted 1e3'", "${seed}", "cuda:0"])
def test_what_is_read_right_stays_as_it_is(plain: str):
    assert as_typed([f"category={plain}"], commas="alone") == [f"category={plain}"]


def test_values_of_a_multirun_are_each_taken_literally():
    given_ = ["category=2024_01_15,null,bottle,'a,b'", "seed=1,2", "dataset.normal=[1e3,x]"]
    assert as_typed(given_, commas="several") == [
        "category='2024_01_15','null',bottle,'a,b'",
        "seed=1,2",
        "dataset.normal=['1e3',x]",
    ]
    functions = ["category=choice(a,b)", "category=${backbone.name}"]
    assert as_typed(functions, commas="several") == functions
    assert as_typed(["category=a,b"], commas="ambiguous") == ["category=a,b"]


def test_null_is_none_where_none_is_allowed():
    assert compose(["dataset.split=null"]).dataset.split is None
    assert compose(["dataset.split=1e3", "category=null"]).dataset.split == "1e3"


def test_pythons_none_is_null_where_none_is_allowed():
    given_ = ["dataset.limit_train=None", "tracker.group=None", "backbone.layers=None"]
    assert from_python(given_) == [text.replace("None", "null") for text in given_]
    assert from_python(["experiment=None", "seed=1"]) == ["seed=1"]
    assert from_python(["experiment=a", "-m", "experiment=null"]) == ["-m"]
    assert from_python(["experiment=null", "experiment=a"]) == ["experiment=null", "experiment=a"]
    kept = ["category=None", "seed=1", "new.key=None", "-m", "backbone.tags={a: b}", "loss.K=1"]
    assert from_python(kept) == kept, "a text may be this word"


@pytest.mark.parametrize(
    "argument, told",
    [
        ("loss.K=None", "loss.K is None, as which a sweep's null arrives, and loss.K takes no"),
        ("loss=None", "loss takes no null"),
        ("loss={'K': 1, 'J': 3}", r"loss is the dict .*; .* named with dots, .*: loss\.K$"),
        ("loss={K:1}", "named with dots"),
        ("dataset.masks={'a': 1}", "dataset.masks is the dict"),
    ],
)
def test_what_a_sweep_cannot_mean_is_one_line(argument: str, told: str):
    with pytest.raises(UserError, match=told):
        from_python([argument])


def test_numbers_are_left_to_hydra():
    keys = text_keys()
    assert keys["category"] == "text" and keys["dataset.masks"] == "optional"
    assert keys["backbone.layers"] == "list" and "seed" not in keys and "backbone" not in keys


def test_flags_between_settings_are_put_after_them():
    assert overrides_first(["a=1", "-m", "b=1,2"]) == ["a=1", "b=1,2", "-m"]
    assert overrides_first(["a=1", "--cfg", "job", "-p", "trainer", "~c"]) == [
        *("a=1", "~c", "--cfg", "job", "-p", "trainer")
    ]
    assert overrides_first(["-m", "a=1,2"]) == ["-m", "a=1,2"]


def test_a_plus_before_a_group_is_no_mistake():
    given_ = ["+experiment=quickstart", "++loss=default", "+new.key=1", "seed=1"]
    assert without_plus(given_) == ["experiment=quickstart", "loss=default", *given_[2:]]
