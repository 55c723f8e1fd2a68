"""Pinned numbers are noticed when they move, and cannot be pinned anew without a new version."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import pinned
from helpers.pinned import Moved, Pin

NUMBERS = {"exact/loss": [0.1, float(np.float32(0.3)), -2.0], "fast/loss": [1.0]}


@pytest.fixture
def pin(tmp_path: Path) -> Pin:
    pin = Pin(
        path=tmp_path / "pinned.json",
        version=3,
        version_name="SOME_VERSION in some.py",
        test="tests/test_some.py",
        tolerance=lambda name: 1e-3 if name.startswith("fast") else 1e-6,
    )
    pin.write(NUMBERS)
    return pin


def moved(name: str, place: int, value: float) -> pinned.Numbers:
    values = list(NUMBERS[name])
    values[place] = value
    return NUMBERS | {name: values}


def elsewhere(pin: Pin) -> None:
    """Let the numbers be those of another machine."""
    content = json.loads(pin.path.read_text())
    content["machine"]["processor"] = "another"
    pin.path.write_text(json.dumps(content))


def test_what_was_pinned_is_found_again(pin):
    pin.check(NUMBERS)
    pin.write(NUMBERS)  # nothing moved, nothing to refuse
    elsewhere(pin)
    pin.check(NUMBERS)


def test_one_bit_is_noticed_and_the_message_says_what_to_do(pin):
    numbers = moved("exact/loss", 0, float(np.nextafter(0.1, 1)))
    with pytest.raises(Moved, match=r"last bit.*: exact/loss is off by") as info:
        pin.check(numbers)
    assert "raise SOME_VERSION in some.py, tell in CHANGELOG.md" in str(info.value)
    assert str(info.value).endswith(".venv/bin/pytest tests/test_some.py --pin")


def test_elsewhere_numbers_may_be_off_by_their_tolerance(pin):
    elsewhere(pin)
    pin.check(moved("exact/loss", 0, 0.1 + 1.9e-6))  # of 2
    pin.check(moved("fast/loss", 0, 1.0009))
    for name, place, value in (("exact/loss", 0, 0.1 + 2.1e-6), ("fast/loss", 0, 1.0011)):
        with pytest.raises(Moved, match=f": {name} is off by"):
            pin.check(moved(name, place, value))


@pytest.mark.parametrize("machine", ["here", "elsewhere"])
@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        (NUMBERS | {"new/loss": [1.0]}, "new/loss is not pinned"),
        ({"fast/loss": [1.0]}, "exact/loss has 0 numbers instead of 3"),
        (NUMBERS | {"fast/loss": [1.0, 1.0]}, "fast/loss has 2 numbers instead of 1"),
        (NUMBERS | {"fast/loss": [float("nan")]}, "fast/loss is off by nan"),
    ],
)
def test_other_numbers_are_noticed(pin, machine: str, numbers: pinned.Numbers, words: str):
    if machine == "elsewhere":
        elsewhere(pin)
    with pytest.raises(Moved, match=words):
        pin.check(numbers)


def test_a_version_that_was_raised_asks_for_its_numbers_and_gets_them(pin):
    raised, numbers = replace(pin, version=4), moved("exact/loss", 0, 0.2)
    with pytest.raises(Moved, match=r"SOME_VERSION in some.py is 4, .* version 3.* --pin"):
        raised.check(NUMBERS)
    raised.write(numbers)
    raised.check(numbers)


def test_nothing_is_pinned_anew_before_the_version_is_raised(pin):
    before = pin.path.read_bytes()
    with pytest.raises(Moved, match="raise SOME_VERSION"):
        pin.write(moved("exact/loss", 0, float(np.nextafter(0.1, 1))))
    assert pin.path.read_bytes() == before


def test_another_machine_can_take_the_pins_over(pin):
    elsewhere(pin)
    numbers = moved("exact/loss", 0, 0.1 + 1e-9)
    pin.write(numbers)
    pin.check(numbers)
    with pytest.raises(Moved):
        pin.check(NUMBERS)
