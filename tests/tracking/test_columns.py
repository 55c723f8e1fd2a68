from dataclasses import asdict
from typing import Any

from helpers.tiny import compose

from cfa_lab.tracking import COLUMNS, comparable


def test_what_runs_are_compared_by_stands_once_and_flat():
    told = comparable(asdict(compose("loss.K=5", "loss.r=0.01", "backbone=resnet18", "seed=3")))
    assert list(told) == [*COLUMNS, "settings"]
    assert (told["K"], told["J"], told["r"], told["alpha"]) == (5, 3, 0.01, 0.1)
    assert (told["category"], told["seed"], told["backbone"]) == ("bottle", 3, "resnet18")
    assert not any(isinstance(told[name], dict) for name in COLUMNS)
    assert told["settings"]["loss"]["K"] == 5


def test_no_key_of_a_sweep_hides_or_repeats_a_column_with_another_meaning():
    """A sweep's keys are overrides; wandb drops a run's own value of a key that its sweep set."""
    settings: dict[str, Any] = asdict(compose())
    told = comparable(settings)
    for name in set(told) & set(settings):
        assert COLUMNS[name] in (name, f"{name}.name"), f"{name} means something else in a sweep"


def test_a_solved_run_says_how_it_was_fitted():
    solved = comparable(asdict(compose("preset=lab", "tracker=none")))
    assert (solved["optimizer"], solved["time"]) == ("closed_form", 0.5)
    stepped = comparable(asdict(compose("preset=official", "tracker=none")))
    assert (stepped["optimizer"], stepped["settings"]["optimizer"]["name"]) == ("adamw", "adamw")
