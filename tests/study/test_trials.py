"""Trials of a search: drawn once, shared, and taken up again after a kill."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cfa_lab.errors import UserError

pytest.importorskip("optuna", reason="needs the extra `search`")

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from cfa_lab.study.sampling import SAMPLERS
from cfa_lab.study.storage import drop_half_line
from cfa_lab.study.trials import MOST_ENDS, Trials

SPACE = {
    "loss.K": IntDistribution(1, 9),
    "optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True),
    "optimizer": CategoricalDistribution(["adamw", "sgd"]),
}
NUMBERS = {key: SPACE[key] for key in ("loss.K", "optimizer.lr")}
Opened = Callable[..., Trials]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    def open_trials(**changed: Any) -> Trials:
        options = {"space": SPACE, "directions": ["maximize"], "sampler": {"name": "tpe"}}
        return Trials(tmp_path / changed.pop("root", "root"), "a", **(options | changed))

    return open_trials


def value_of(params: dict[str, Any]) -> float:
    return -abs(params["loss.K"] - 5) - params["optimizer.lr"]


def go_on(trials: Trials, num_points: int, *, at_most: int | None = None) -> list[dict[str, Any]]:
    """Complete what there is to do; the points in the order in which they were tried."""
    tried = []
    while at_most is None or len(tried) < at_most:
        if (trial := trials.take(num_points)) is None:
            break
        tried.append(trial.params)
        trials.complete(trial, [value_of(trial.params)] * len(trials.study.directions))
    return tried


def die(trials: Trials) -> None:
    """What an ended process leaves: a lock that nobody holds."""
    trials._alive.release()


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_search_in_three_commands_draws_what_one_command_draws(opened: Opened, name: str):
    if name == "cmaes":
        pytest.importorskip("cmaes", reason="needs the package of this sampler")
    options = {"space": NUMBERS, "sampler": {"name": name, "seed": 3}}
    if name == "tpe":
        options["sampler"]["n_startup_trials"] = 4
    whole = go_on(opened(root="whole", **options), 9)
    parts = []
    for num_points in (2, 5, 9):
        trials = opened(root="parts", **options)
        parts += go_on(trials, num_points)
        trials.close()
    assert parts == whole
    assert len({str(point) for point in parts}) == 9, "a seed draws no point twice"
    assert go_on(opened(root="parts", **options), 9) == []


def test_several_metrics_have_several_best_trials(opened: Opened):
    trials = opened(directions=["maximize", "minimize"], sampler={"name": "nsgaii"})
    go_on(trials, 6)
    assert 1 <= len(trials.best()) <= 6
    first = opened(directions=["maximize", "minimize"]).best()
    assert [trial.number for trial in first] == [trial.number for trial in trials.best()]


def test_what_ended_with_its_process_is_tried_again_first_and_once(opened: Opened):
    dead = opened()
    go_on(dead, 9, at_most=2)
    lost = dead.take(9)
    assert lost is not None
    die(dead)
    trials = opened()
    again = trials.take(9)
    assert again is not None and again.params == lost.params
    trials.complete(again, [1.0])
    told = trials.study.trials[lost.number]
    assert told.state is TrialState.FAIL and told.user_attrs["error"] == "its process ended"
    go_on(trials, 4)
    points = trials.points()
    assert len(points) == 4 and all(point.complete for point in points)
    assert points[2].number == lost.number and len(points[2].trials) == 2


def test_a_process_that_ends_while_it_draws_leaves_no_point(opened: Opened):
    whole = go_on(opened(root="whole"), 4)
    dead = opened()
    assert go_on(dead, 2) == whole[:2]
    half = dead.study.ask({"loss.K": SPACE["loss.K"]})  # without the others, and without an owner
    die(dead)
    trials = opened()
    assert len(trials.points()) == 2
    assert go_on(trials, 4) == whole[2:]
    assert trials.study.trials[half.number].state is TrialState.FAIL


def test_a_point_that_takes_its_process_along_again_and_again_comes_last(opened: Opened):
    first = None
    for _ in range(MOST_ENDS):
        dead = opened()
        lost = dead.take(3)
        assert lost is not None and lost.params == (first or lost.params)
        first = lost.params
        die(dead)
    trials = opened()
    tried = go_on(trials, 3)
    assert len(tried) == 3 and tried[-1] == first


def test_what_failed_is_recorded_and_tried_again_by_the_next_command_only(opened: Opened):
    trials = opened()
    bad = trials.take(3)
    assert bad is not None
    trials.fail(bad, "loss.K is larger than the bank")
    assert len(go_on(trials, 3)) == 2
    assert trials.take(3) is None, "a command tries a point once"
    failed = [point for point in trials.points() if point.failed]
    assert [point.error for point in failed] == ["loss.K is larger than the bank"]
    trials.close()
    later = opened()
    assert go_on(later, 3) == [bad.params]
    assert not any(point.failed for point in later.points())
    assert later.take(3) is None


def test_processes_at_one_search_share_its_points(opened: Opened):
    one, two = opened(), opened()
    taken = [trials.take(5) for trials in (one, two, one, two, one, two)]
    assert taken[5] is None
    params = [trial.params for trial in taken if trial is not None]
    assert len({json.dumps(point) for point in params}) == 5
    for trials, trial in zip((one, two, one, two, one), taken, strict=False):
        assert trial is not None
        trials.complete(trial, [1.0])
    assert len(opened().best()) == 5


KILLED = """
import os, signal, sys
from pathlib import Path
from optuna.distributions import IntDistribution
from cfa_lab.study.trials import Trials

trials = Trials(Path(sys.argv[1]), "a", space={"k": IntDistribution(1, 10**6)},
                directions=["maximize"], sampler={"name": "random"})
print(trials.take(3).params, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_holds_nothing(tmp_path: Path):
    script = [sys.executable, "-c", KILLED, str(tmp_path)]
    texts = [subprocess.run(script, capture_output=True, text=True).stdout for _ in range(2)]
    assert texts[0] and texts[0] == texts[1]


def test_half_a_line_is_cut_and_the_search_goes_on(opened: Opened, tmp_path: Path):
    whole = go_on(opened(root="whole"), 4)
    go_on(opened(), 2)
    (journal,) = tmp_path.glob("root/.searches/*.journal")
    text = journal.read_bytes()
    journal.write_bytes(text + b'{"op_code":4,"worker')
    assert go_on(opened(), 4) == whole[2:]
    assert journal.read_bytes().startswith(text)
    for content, kept in ((b"", b""), (b"half", b""), (b"a\nhalf", b"a\n"), (b"a\n", b"a\n")):
        journal.write_bytes(content)
        drop_half_line(journal)
        assert journal.read_bytes() == kept


def test_a_damaged_journal_is_one_line(opened: Opened, tmp_path: Path):
    go_on(opened(), 2)
    (journal,) = tmp_path.glob("root/.searches/*.journal")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], b"\x00 junk\n", *lines[3:]]))
    with pytest.raises(UserError, match=r"a\.journal cannot be read .*; move it away"):
        opened()


def test_a_database_serves_as_well(opened: Opened, tmp_path: Path):
    storage = f"sqlite:///{tmp_path / 'search.db'}"
    first = opened(storage=storage)
    begun = go_on(first, 3)
    lost = first.take(9)
    assert lost is not None
    die(first)
    assert [lost.params, *begun][1:] == go_on(opened(root="whole"), 3)
    again = opened(storage=storage).take(9)
    assert again is not None and again.params == lost.params
    with pytest.raises(UserError, match=r"hydra\.sweeper\.storage: mist://x cannot be read"):
        opened(storage="mist://x")


def test_a_name_stands_for_one_search(opened: Opened):
    opened(identity="a").close()
    opened(identity="a").close()
    with pytest.raises(UserError, match=r"begun with other settings.*study_name"):
        opened(identity="b")
    with pytest.raises(UserError, match=r"study_name is 'a/b'; allowed: letters"):
        Trials(Path(), "a/b", space=SPACE, directions=["maximize"], sampler={"name": "tpe"})


@pytest.mark.parametrize(
    "sampler, told",
    [
        ({"name": "tbe"}, "sampler.name is 'tbe'; allowed: tpe, random"),
        ({"name": "tpe", "gama": 1}, "tpe cannot be used: .*gama"),
    ],
)
def test_samplers_are_checked_before_anything_is_written(
    opened: Opened, tmp_path: Path, sampler: dict[str, Any], told: str
):
    with pytest.raises(UserError, match=told):
        opened(sampler=sampler)
    assert not list(tmp_path.rglob("*.journal"))
